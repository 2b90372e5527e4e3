"""Draws with replacement: by weights, and with all classes alike."""

from itertools import chain
from typing import Any

import numpy as np
import pytest
import torch

from dali_ops.loader.reading.order import Order
from dali_ops.loader.reading.shard import Shard
from dali_ops.samplers import Balanced, Weighted
from dali_ops.samplers.random_numbers import uniform

SEED, EPOCHS = 3, 200
PINNED = [5, 5, 2, 5, 4, 5]


class Labelled:
    """What a sampler needs of a source."""

    def __init__(self, labels):
        self.class_indices = np.array(labels)

    def __len__(self):
        return len(self.class_indices)


def epoch_of(sampler, labels, epoch=0, batch=4, rank=0, ranks=1, seed=SEED, **options):
    source: Any = Labelled(labels)
    order = Order(len(labels), batch, True, seed=seed, shard=Shard(rank, ranks), epochs=sampler.of(source), **options)
    return [order.numbers(epoch, step).tolist() for step in range(order.steps)]


def flat(batches):
    return list(chain.from_iterable(batches))


def drawn(sampler, labels, epochs=EPOCHS):
    return np.array([flat(epoch_of(sampler, labels, epoch, 64)) for epoch in range(epochs)])


def check_rates(counts, shares):
    """Counts of draws within four and a half standard deviations of what is expected."""
    total = counts.sum()
    expected = total * np.asarray(shares)
    assert np.all(np.abs(counts - expected) <= 4.5 * np.sqrt(expected * (1 - np.asarray(shares))))


def test_images_come_as_often_as_their_weights_say():
    weights = np.array([0.5, 3, 0, 1, 1, 0.25] * 20)
    numbers = drawn(Weighted(weights), [0] * 120)
    counts = np.bincount(numbers.ravel(), minlength=120)
    check_rates(counts, weights / weights.sum())
    assert counts[weights == 0].sum() == 0
    halves = [np.bincount(part.ravel(), minlength=120) for part in np.split(numbers, 2, axis=1)]
    for half in halves:  # no part of an epoch is another distribution
        check_rates(half, weights / weights.sum())


def test_draws_are_independent():
    """Of each other and of those of the epoch before: as many pairs of equal ones as by chance."""
    numbers = drawn(Weighted(np.ones(50)), [0] * 50)
    for one, other in [(numbers[:, 1:], numbers[:, :-1]), (numbers[1:], numbers[:-1])]:
        check_rates(np.array([(one == other).sum(), (one != other).sum()]), [1 / 50, 49 / 50])


def test_a_draw_is_a_plain_search():
    weights = [0.1, 0.0, 0.7, 0.2, 0.0]
    numbers = flat(epoch_of(Weighted(weights), [0] * 5, batch=2))
    for number, chance in zip(numbers, uniform(np.arange(5), SEED, 0), strict=True):
        below = 0
        while sum(weights[: below + 1]) <= chance * sum(weights):
            below += 1
        assert number == below


EXTREME = [
    ([0, 0, 1, 0], {2}),
    ([0, 0, 5e-324, 0], {2}),
    ([1e308] * 20, set(range(20))),
    ([5e-324] * 20, set(range(20))),
    ([0.0, *[1e-320] * 19], set(range(1, 20))),
]


@pytest.mark.parametrize(("weights", "possible"), EXTREME)
def test_weights_of_any_size(weights, possible):
    assert set(drawn(Weighted(weights), [0] * len(weights)).ravel().tolist()) == possible


def test_the_largest_random_number_draws_the_last_image_of_any_weight(monkeypatch):
    monkeypatch.setattr("dali_ops.samplers.with_replacement.uniform", lambda *_: np.array([0.0, 1 - 2.0**-53]))
    for count in (3, 7, 1000):
        weights = np.random.default_rng(count).random(count)
        weights[[0, -1]] = 0
        source: Any = Labelled([0] * count)
        first, last = Weighted(weights).of(source).numbers(np.arange(2), SEED, 0).tolist()
        assert (first, last) == (1, count - 2)


LABELS = [0] * 60 + [1] * 5 + [3] * 35  # of class 2 there is none


def test_classes_come_equally_often_and_their_images_too():
    counts = np.bincount(drawn(Balanced(), LABELS).ravel(), minlength=100)
    per_class = np.bincount(LABELS, counts)
    check_rates(per_class[[0, 1, 3]], [1 / 3] * 3)
    assert per_class[2] == 0
    for label in (0, 1, 3):
        own = counts[np.array(LABELS) == label]
        check_rates(own, np.full(len(own), 1 / len(own)))


@pytest.mark.parametrize("sampler", [Weighted(range(1, 101)), Balanced()], ids=["weighted", "balanced"])
@pytest.mark.parametrize("ranks", [1, 2, 3, 8])
def test_processes_take_the_draws_of_an_epoch_in_turn(sampler, ranks):
    """So a step of all together is the same images, however many they are."""
    alone = flat(epoch_of(sampler, LABELS, 2, 100))
    shares = [flat(epoch_of(sampler, LABELS, 2, 7, rank, ranks)) for rank in range(ranks)]
    assert {len(share) for share in shares} == {-(-100 // ranks)}
    assert np.stack(shares, 1).ravel()[:100].tolist() == alone


def test_batches_and_their_number():
    def sizes(count, **options):
        return [len(numbers) for numbers in epoch_of(Balanced(), [0] * count, **options)]

    assert sizes(10) == [4, 4, 2]
    assert sizes(10, drop_last=True) == [4, 4]
    assert sizes(10, ranks=3, drop_last=True) == [4]
    assert sizes(3, ranks=8) == [1]
    assert sizes(1) == [1]


def test_the_sequence_can_be_entered_anywhere():
    whole = uniform(np.arange(1000), 5, 7)
    for places in ([0], [1], [999], [3, 4], range(5, 1000, 8), range(402, 1000)):
        at = np.array(places)
        assert np.array_equal(uniform(at, 5, 7), whole[at])
    assert 0 <= whole.min() < 0.01
    assert 0.99 < whole.max() < 1


def test_the_draws_are_those_of_every_version():
    """States of today are resumed with the NumPy of tomorrow."""
    assert flat(epoch_of(Weighted([1, 2, 3, 0, 4, 5]), [0] * 6, epoch=4)) == PINNED
    assert len({tuple(flat(epoch_of(Balanced(), [0] * 9, epoch, seed=seed))) for epoch in range(4)
                for seed in range(4)}) == 16  # fmt: skip


FORMS = [[1, 2, 0], (1.0, 2.0, -0.0), np.array([1, 2, 0], np.uint8), np.array([1, 2, 0], np.float32),
         torch.tensor([1.0, 2.0, 0.0]), torch.tensor([1, 2, 0]).short()]  # fmt: skip


def test_weights_in_any_form_are_the_same_sampler():
    expected = Weighted([1.0, 2.0, 0.0])
    for form in FORMS:
        made = Weighted(form)
        assert made == expected
        assert (hash(made), repr(made)) == (hash(expected), repr(expected))
    assert Weighted([1.0, 2.0, 1e-9]) != expected
    assert repr(Weighted([1.0, 2.0, 1e-9])) != repr(expected)
    assert expected != Balanced()


def test_weights_are_copied_and_stay():
    weights = np.ones(3)
    sampler = Weighted(weights)
    weights[:] = 0
    assert np.array_equal(sampler.weights, np.ones(3))
    with pytest.raises(ValueError, match="read-only"):
        sampler.weights[0] = 0  # type: ignore[index]


def test_a_million_weights_are_a_short_text():
    assert repr(Weighted(np.ones(1_000_000))).startswith("Weighted(<1000000 weights, digest ")
    assert len(repr(Weighted(np.ones(1_000_000)))) < 80


WRONG: list[tuple[Any, type[Exception], str]] = [
    ([1, -1, 2], ValueError, "weights must be finite numbers from 0, got -1.0 for image 1"),
    ([1, 2, float("nan")], ValueError, "weights must be finite numbers from 0, got nan for image 2"),
    ([float("inf"), 2], ValueError, "weights must be finite numbers from 0, got inf for image 0"),
    ([0, 0.0], ValueError, "weights must not all be 0, or no image could be drawn"),
    ([], ValueError, "weights must be numbers .N., one for each image of the source, got none"),
    ([[1, 2], [3, 4]], TypeError, "weights must be numbers .N., one for each image of the source, got"),
    ([[1], [2, 3]], TypeError, "weights must be numbers .N., one for each image of the source, got"),
    (["1", "2"], TypeError, "weights must be numbers"),
    ([1, None], TypeError, "weights must be numbers"),
    ([1, 2j], TypeError, "weights must be numbers"),
    (None, TypeError, "weights must be numbers"),
    (3.0, TypeError, "weights must be numbers"),
    ({0: 1.0}, TypeError, "weights must be numbers"),
    ([10**400, 1], TypeError, "weights must be numbers"),
]


@pytest.mark.parametrize(("weights", "kind", "message"), WRONG, ids=[str(k) for k in range(len(WRONG))])
def test_what_are_no_weights(weights, kind, message):
    with pytest.raises(kind, match=message):
        Weighted(weights)


@pytest.mark.parametrize("count", [2, 4])
def test_another_number_of_weights_than_images(count):
    source: Any = Labelled([0] * count)
    with pytest.raises(ValueError, match=f"sampler has 3 weights but source has {count} images: Weighted takes one"):
        Weighted([1, 2, 3]).of(source)
