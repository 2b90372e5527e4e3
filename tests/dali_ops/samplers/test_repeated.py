"""Repeated augmentation, beside the authors' sampler."""

from collections import Counter
from itertools import chain, pairwise
from math import ceil, floor

import numpy as np
import pytest

from dali_ops.loader.reading.order import Order
from dali_ops.loader.reading.shard import Shard
from dali_ops.samplers import Repeated
from dali_ops.samplers.random_numbers import shuffled
from dali_ops.samplers.repeated import Repeats

SEED, EPOCH = 3, 5
# images, batch size, processes, times
CASES = [(256, 64, 1, 3), (1000, 96, 1, 3), (1000, 24, 8, 3), (1000, 7, 3, 3), (511, 10, 4, 3), (700, 5, 6, 2),
         (257, 1, 255, 4), (300, 9, 7, 1), (512, 3, 5, 700), (1025, 33, 2, 3)]  # fmt: skip
cases = pytest.mark.parametrize(("count", "batch", "ranks", "times"), CASES)


def authors_indices(order, repeats, ranks, rank):
    """`RASampler` of facebookresearch/deit as plain loops, for an order of the images."""
    indices = []
    for number in order:
        for _ in range(repeats):
            indices.append(number)
    of_each = ceil(len(order) * repeats / ranks)
    for padding in range(of_each * ranks - len(indices)):
        indices.append(indices[padding])
    own = [indices[place] for place in range(rank, of_each * ranks, ranks)]
    assert len(own) == of_each
    return own[: floor(len(order) // 256 * 256 / ranks)]


def flat(batches):
    return list(chain.from_iterable(batches))


def orders(count, batch, ranks, times, drop_last=False):
    options = {"training": True, "drop_last": drop_last, "seed": SEED, "epochs": Repeats(count, times)}
    return [Order(count, batch, shard=Shard(rank, ranks), **options) for rank in range(ranks)]


def batches_of(order):
    return [order.numbers(EPOCH, step).tolist() for step in range(order.steps)]


@cases
def test_an_epoch_is_that_of_the_authors(count, batch, ranks, times):
    shuffle = shuffled(count, SEED, EPOCH).tolist()
    for rank, order in enumerate(orders(count, batch, ranks, times)):
        expected = authors_indices(shuffle, times, ranks, rank)
        assert flat(batches_of(order)) == expected
        assert order.steps == ceil(len(expected) / batch)


@cases
def test_dropping_leaves_out_the_last_batch_that_is_not_full(count, batch, ranks, times):
    for kept, order in zip(orders(count, batch, ranks, times, True), orders(count, batch, ranks, times), strict=True):
        full = [numbers for numbers in batches_of(order) if len(numbers) == batch]
        assert batches_of(kept) == full
        assert kept.steps == len(full)


@pytest.mark.parametrize(("count", "batch", "ranks"), [(1000, 96, 1), (1000, 24, 8), (2000, 15, 3), (300, 16, 6)])
def test_every_global_batch_has_each_image_three_times(count, batch, ranks):
    everywhere = [batches_of(order) for order in orders(count, batch, ranks, 3, drop_last=True)]
    seen = set()
    for together in zip(*everywhere, strict=True):
        found = Counter(number for own in together for number in own)
        assert set(found.values()) == {3}
        assert not seen & found.keys()
        seen |= found.keys()
        if ranks % 3 == 0:  # then all three are in different processes
            assert all(len(set(own)) == len(own) for own in together)
    assert len(seen) == count // 256 * 256 // ranks // batch * batch * ranks // 3


@pytest.mark.parametrize(("batch", "ranks"), [(64, 1), (7, 2), (50, 5)])
def test_other_batch_sizes_part_at_most_the_first_and_the_last_image(batch, ranks):
    everywhere = [batches_of(order) for order in orders(1000, batch, ranks, 3)]
    for together in zip(*everywhere, strict=True):
        found = Counter(number for own in together for number in own)
        assert sum(times != 3 for times in found.values()) <= 2


def test_images_of_an_epoch_change_with_it():
    (order,) = orders(1000, 250, 1, 3)
    epochs = [{n for step in range(order.steps) for n in order.numbers(epoch, step).tolist()} for epoch in range(9)]
    assert {len(images) for images in epochs} == {256}
    assert all(20 < len(one & other) < 110 for one, other in pairwise(epochs))
    assert len(set.union(*epochs)) > 850


def test_fewer_images_than_the_authors_round_to_count_all():
    """They would leave none."""
    assert authors_indices(range(200), 3, 1, 0) == []
    (order,) = orders(200, 50, 1, 3)
    assert order.steps == 4
    numbers = flat(batches_of(order))
    assert numbers == np.repeat(shuffled(200, SEED, EPOCH), 3)[:200].tolist()


@pytest.mark.parametrize(("count", "ranks"), [(3, 4), (256, 257), (600, 513)])
def test_more_processes_than_images_have_none(count, ranks):
    order = orders(count, 1, ranks, 3)[0]
    assert (order.share, order.steps) == (0, 0)


def test_any_batch_can_be_made_at_any_time():
    order, again = orders(1000, 64, 2, 3)[1], orders(1000, 64, 2, 3)[1]
    everything = {(e, s): order.numbers(e, s).tolist() for e in range(3) for s in range(order.steps)}
    for at in [(2, 1), (0, 0), (1, 1), (2, 1)]:
        assert again.numbers(*at).tolist() == everything[at]


@pytest.mark.parametrize("times", [0, -1, 1.5, True, "3", None, 1 << 17], ids=repr)
def test_what_is_no_number_of_times(times):
    with pytest.raises(ValueError, match="times must be (a whole number from 1|at most 65536), got"):
        Repeated(times)


def test_equal_settings_are_equal():
    assert Repeated() == Repeated(np.int64(3))
    assert repr(Repeated(np.int64(3))) == "Repeated(times=3)"
    assert Repeated(2) != Repeated(3)
