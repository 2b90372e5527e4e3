"""Errors of functions that a pipeline calls, told together with DALI's."""

from __future__ import annotations

from collections.abc import Iterator
from traceback import clear_frames


def with_first_cause(error: BaseException, of_dali: BaseException) -> BaseException:
    """`error`, which a user's function raised, with DALI's error where its chain of causes begins.

    So what it was raised from is told, too. An error that is raised again and again has DALI's last one.
    """
    *_, first = chain(error)
    first.__cause__ = of_dali
    of_dali.of_dali = True  # type: ignore[attr-defined]
    return error


def let_go(error: BaseException) -> None:
    """Forget what the frames of `error` and its causes hold: DALI's memory, for as long as somebody keeps the error."""
    for link in chain(error):
        clear_frames(link.__traceback__)


def chain(error: BaseException) -> Iterator[BaseException]:
    """The error and those that it was raised from, as a traceback shows them; not that of DALI."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen and not hasattr(link, "of_dali"):
        yield link
        seen.add(id(link))
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
