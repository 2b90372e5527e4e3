"""What a loader is told, in words that are the same in every process."""

from dataclasses import dataclass
from functools import partial

from dali_ops.loader.settings import in_words


def negative(images, *, of):
    """Whose words are wanted."""


class Plain:
    """Without words of its own: its repr has its address."""


@dataclass
class Holder:
    held: object


def test_arguments_of_a_function_go_by_their_names_too():
    """In every process, whatever they hold: no address, no order of hashes."""

    def words(**named):
        given = partial(negative, Plain(), [Holder(Plain()), lambda: 0], **named)  # type: ignore[call-arg]
        return in_words(partial(given, {"of": frozenset({"b", "a", "c"})}))

    assert (
        words(of=1, to=Plain)
        == words(to=Plain, of=1)
        == (
            f"negative([<{__name__}.Plain object>, [Holder(held=<{__name__}.Plain object>), "
            "test_arguments_of_a_function_go_by_their_names_too.<locals>.words.<locals>.<lambda>], "
            "{'of': {'a', 'b', 'c'}}], {'of': 1, 'to': Plain})"
        )
    )


@dataclass
class Stronger:
    by: int

    def __call__(self, images):
        return images * self.by


def test_functions_that_are_dataclasses_are_told_apart():
    assert in_words(Stronger(9)) == "Stronger(by=9)"
