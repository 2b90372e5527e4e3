"""Which images every batch has: of every process, in every epoch."""

from itertools import product

import numpy as np
import pytest

from dali_ops.loader.reading.order import Order
from dali_ops.loader.reading.shard import Shard
from dali_ops.samplers.random_numbers import shuffled

COUNTS = [(1, 1, 1), (10, 4, 1), (12, 4, 1), (10, 3, 3), (25, 4, 2), (24, 4, 3), (7, 2, 8), (1000, 64, 8)]
EPOCHS = range(3)
PINNED = [2, 4, 1, 3, 6, 5, 0, 7]


def epoch_of(count, batch, ranks, epoch=0, **options):
    """For every process the batches of an epoch."""
    orders = [Order(count, batch, shard=Shard(rank, ranks), **options) for rank in range(ranks)]
    assert len({order.steps for order in orders}) == 1
    return [[order.numbers(epoch, step).tolist() for step in range(order.steps)] for order in orders]


def flat(batches):
    return [number for process in batches for batch in process for number in batch]


@pytest.mark.parametrize(("count", "batch", "ranks"), COUNTS)
def test_validation_sees_every_image_exactly_once_in_order(count, batch, ranks):
    batches = epoch_of(count, batch, ranks)
    assert flat(batches) == list(range(count))
    assert max(len(numbers) for process in batches for numbers in process) <= batch
    shares = [len(flat([process])) for process in batches]
    assert max(shares) - min(shares) <= 1


@pytest.mark.parametrize(("count", "batch", "ranks"), COUNTS)
def test_validation_needs_no_more_steps_than_its_largest_share(count, batch, ranks):
    assert any(process[-1] for process in epoch_of(count, batch, ranks))


@pytest.mark.parametrize(("count", "batch", "ranks"), COUNTS)
@pytest.mark.parametrize("training", [True, False])
def test_dropping_gives_full_batches_of_different_images(count, batch, ranks, training):
    batches = epoch_of(count, batch, ranks, training=training, drop_last=True)
    assert {len(numbers) for process in batches for numbers in process} <= {batch}
    numbers = flat(batches)
    assert len(set(numbers)) == len(numbers) == count // ranks // batch * batch * ranks
    assert set(numbers) <= set(range(count))


@pytest.mark.parametrize(("count", "batch", "ranks"), COUNTS)
def test_training_that_keeps_all_sees_all_and_repeats_only_to_make_shares_equal(count, batch, ranks):
    for epoch in EPOCHS:
        batches = epoch_of(count, batch, ranks, epoch, training=True, drop_last=False)
        assert len({len(flat([process])) for process in batches}) == 1
        numbers = flat(batches)
        assert set(numbers) == set(range(count))
        assert len(numbers) - count < ranks or len(numbers) == ranks  # or there are fewer images than processes
        assert all(process[-1] for process in batches)


def test_what_is_dropped_changes_with_the_epoch():
    kept = [flat(epoch_of(10, 3, 3, epoch, training=True, drop_last=True)) for epoch in range(9)]
    assert len({tuple(set(range(10)).difference(numbers)) for numbers in kept}) > 3


def test_the_shuffle_goes_across_shares_and_follows_seed_and_epoch():
    def shares(epoch, seed):
        return [set(flat([process])) for process in epoch_of(1000, 50, 4, epoch, training=True, seed=seed)]

    assert shares(0, 1) == shares(0, 1)
    for other in (shares(1, 1), shares(0, 2)):
        assert all(165 < len(mine - theirs) < 210 for mine, theirs in zip(shares(0, 1), other, strict=True))  # 3 of 4


def test_seeds_and_epochs_do_not_run_into_each_other():
    orders = [Order(100, 100, training=True, seed=seed).numbers(epoch, 0) for seed in range(4) for epoch in range(4)]
    assert len({tuple(numbers) for numbers in orders}) == 16


def test_memory_of_past_epochs_is_given_back():
    order = Order(64, 64, training=True)
    for epoch in range(100):
        order.numbers(epoch, 0)
    assert shuffled.cache_info().currsize < 10


def test_the_order_is_that_of_every_version():
    """States of today are resumed with the NumPy of tomorrow."""
    assert Order(8, 8, training=True, seed=3).numbers(2, 0).tolist() == PINNED


def test_the_order_within_a_share_is_shuffled_too():
    order = Order(1000, 1000, training=True)
    numbers = order.numbers(0, 0)
    assert abs(np.corrcoef(numbers, np.arange(1000))[0, 1]) < 0.1


def test_any_batch_can_be_made_at_any_time():
    order = Order(100, 8, training=True, seed=3)
    all_at_once = {(epoch, step): order.numbers(epoch, step) for epoch, step in product(range(5), range(order.steps))}
    for epoch, step in [(4, 11), (0, 3), (2, 0), (0, 3)]:
        again = Order(100, 8, training=True, seed=3).numbers(epoch, step)
        assert np.array_equal(again, all_at_once[epoch, step])


def test_numbers_of_numpy_do_not_overflow():
    order = Order(1000, 4, seed=3, training=True)
    assert np.array_equal(order.numbers(np.uint8(255), np.uint8(200)), order.numbers(255, 200))
