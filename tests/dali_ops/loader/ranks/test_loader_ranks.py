"""Loaders of several processes: their shares, their steps, and random numbers of their own."""

from typing import Any

import pytest
import torch
from PIL import Image

from dalimix import CutMix, Mixup
from tests.support.loaders import load
from tests.support.same import same

COUNT, STEP = 25, 10
EXACT: dict[str, Any] = {"mean": 0, "std": 1, "dtype": "uint8", "size": 8}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """25 images, each filled with ten times its number, in two classes."""
    folder = tmp_path_factory.mktemp("numbered")
    for k in range(COUNT):
        place = folder / ("first" if k < 13 else "second")
        place.mkdir(exist_ok=True)
        Image.new("RGB", (20, 16), (k * STEP,) * 3).save(place / f"{k:02}.png")
    return folder


def ranks(root, world_size, method=None, **options):
    return [load(root, method, rank=rank, world_size=world_size, **EXACT, **options) for rank in range(world_size)]


def numbers(batches):
    return [round(value / STEP) for images, _ in batches for value in images[:, 0, 0, 0].tolist()]


@pytest.mark.parametrize("world_size", [2, 3, 4])
def test_validation_sees_every_image_once(root, world_size):
    loaders = ranks(root, world_size, training=False)
    epochs = [list(loader) for loader in loaders]
    assert {len(batches) for batches in epochs} == {len(loader) for loader in loaders}
    assert [k for batches in epochs for k in numbers(batches)] == list(range(COUNT))


def test_a_share_that_ends_a_step_early_gives_an_empty_batch(root):
    """25 images in 3 shares of 8, 8 and 9."""
    epochs = [list(loader) for loader in ranks(root, 3, training=False)]
    assert [[len(images) for images, _ in batches] for batches in epochs] == [[4, 4, 0], [4, 4, 0], [4, 4, 1]]
    images, labels = epochs[0][-1]
    assert images.shape == (0, 3, 8, 8)
    assert (labels.shape, labels.dtype) == ((0,), torch.int64)


@pytest.mark.parametrize("drop_last", [True, False])
def test_training_shares_are_disjoint_and_change_with_the_epoch(root, drop_last):
    loaders = ranks(root, 3, batch_size=2, drop_last=drop_last)
    seen = [[numbers(loader) for loader in loaders] for _ in range(3)]
    for shares in seen:
        all_of_them = [k for share in shares for k in share]
        assert {len(share) for share in shares} == ({8} if drop_last else {9})
        assert len(set(all_of_them)) == (24 if drop_last else COUNT)
    assert seen[0][0] != seen[1][0]
    assert set(seen[0][0]) != set(seen[1][0])


def test_processes_draw_their_own_random_numbers(root):
    loaders = [load(root, Mixup(), 12, rank=rank, world_size=2, form="pair", **EXACT) for rank in range(2)]
    weights = [next(iter(loader))[1][2] for loader in loaders]
    assert weights[0].shape == weights[1].shape
    assert not torch.equal(*weights)


def test_a_process_may_make_its_loader_again(root):
    first, again = (list(ranks(root, 2, CutMix())[1]) for _ in range(2))
    assert same(first, again)


def test_several_processes_need_a_seed(root):
    with pytest.raises(ValueError, match="2 processes must shuffle alike: give all the same seed=, from 0"):
        load(root, None, rank=0, world_size=2, seed=-1)
    assert len(load(root, None, rank=0, world_size=1, seed=-1)) == 6
    assert len(load(root, None, rank=0, world_size=2, seed=-1, training=False)) == 4  # nothing is random there


def test_without_a_seed_every_run_is_another(root):
    one, other = (numbers(load(root, None, seed=-1)) for _ in range(2))
    assert one != other


def test_a_batch_larger_than_a_share(root):
    with pytest.raises(ValueError, match="batch_size 9 is more than the 25 images, in 3 shares: choose a smaller"):
        load(root, None, 9, rank=0, world_size=3)


def test_threads_are_shared_by_the_processes_of_a_machine(monkeypatch):
    from dali_ops.device import default_threads

    for cores, processes, expected in [(64, 8, 8), (16, 8, 2), (4, 8, 1), (96, 1, 8)]:
        monkeypatch.setattr("os.sched_getaffinity", lambda process, cores=cores: range(cores))
        monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
        assert default_threads() == expected


def test_which_gpu(monkeypatch):
    from dali_ops.device import local_id

    monkeypatch.setattr("dali_ops.device._device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 2)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    assert [local_id(None), local_id(1), local_id(0)] == [2, 1, 0]
    for local_rank in (0, 3):
        monkeypatch.setenv("LOCAL_RANK", str(local_rank))
        assert local_id(None) == local_rank
    monkeypatch.setenv("LOCAL_RANK", "5")
    assert local_id(0) == 0
    with pytest.raises(ValueError, match="LOCAL_RANK is 5, but there are 4 GPUs here: start one process for each"):
        local_id(None)
    monkeypatch.setattr("dali_ops.device._device_count", lambda: 1)  # the launcher shows each process its own
    assert local_id(None) == 0
