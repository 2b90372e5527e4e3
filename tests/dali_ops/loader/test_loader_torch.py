"""What training loops in PyTorch expect of a loader."""

import copy
import pickle
import time

import numpy as np
import pytest
import torch
from PIL import Image

from dali_ops import ImageFolderLoader
from dalimix import AttentiveCutMix, CutMix
from tests.support.loaders import grouped, load
from tests.support.same import same
from tests.support.scripts import script


@pytest.mark.parametrize("method", [None, CutMix()], ids=repr)
@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8"])
def test_channels_last_is_the_same_batch_in_another_order_of_memory(root, method, dtype):
    plain, last = (load(root, method, dtype=dtype, layout=layout) for layout in ("CHW", "channels_last"))
    for (images, targets), (images_too, targets_too) in zip(plain, last, strict=True):
        assert images_too.is_contiguous(memory_format=torch.channels_last)
        assert not images_too.is_contiguous()
        assert torch.equal(images, images_too)
        assert torch.equal(targets, targets_too)


def test_channels_last_in_validation(root):
    images, _ = next(iter(load(root, None, training=False, layout="channels_last")))
    assert images.shape == (4, 3, 32, 32)
    assert images.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.cuda
@pytest.mark.parametrize("form", ["dense", "pair"])
def test_pinned(root, gpu, form):
    images, targets = next(iter(load(root, CutMix(), pin_memory=True, form=form)))
    assert images.is_pinned()
    assert all(tensor.is_pinned() for tensor in (targets if form == "pair" else [targets]))


def test_pinning_needs_a_gpu_to_which_batches_go(root, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="pin_memory is for device='cpu' on a machine with a GPU"):
        load(root, CutMix(), pin_memory=True)


@pytest.mark.parametrize("form", ["dense", "pair"])
def test_all_of_a_batch_is_pinned(root, monkeypatch, form):
    """Where there is no GPU, by what is called."""
    pinned = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: pinned.append(self) or self)
    images, targets = next(iter(load(root, CutMix(), pin_memory=True, form=form)))
    assert [id(tensor) for tensor in pinned] == [id(images), *map(id, targets if form == "pair" else [targets])]


@pytest.mark.parametrize(("method", "training"), [(CutMix(), True), (None, False)])
def test_a_loop_that_is_left_early_is_followed_by_a_whole_epoch(root, method, training):
    """As with torch's DataLoader: validation would begin in the middle otherwise."""
    loader, plain = (load(root, method, training=training) for _ in range(2))
    next(iter(loader))
    assert loader.epoch == 0
    assert sum(1 for _ in loader) == len(loader)
    assert loader.epoch == 2
    first = next(iter(plain))[0]
    if not training:
        assert torch.equal(next(iter(loader))[0], first)


def test_one_loop_at_a_time(root):
    loader = load(root, None)
    first = iter(loader)
    next(first)
    second = iter(loader)
    next(second)
    with pytest.raises(RuntimeError, match="this loop is over: another one was begun"):
        next(first)
    assert sum(1 for _ in second) == len(loader) - 1


def test_set_epoch_gives_any_epoch(root):
    def labels(loader):
        return [labels.tolist() for _, labels in loader]

    straight, jumping = (load(root, None) for _ in range(2))
    epochs = [labels(straight) for _ in range(4)]
    for epoch in (3, 0, 2):
        jumping.set_epoch(epoch)
        assert jumping.epoch == epoch
        assert labels(jumping) == epochs[epoch]
    assert labels(jumping) == epochs[3]
    jumping.set_epoch(1)
    running = iter(jumping)
    next(running)
    jumping.set_epoch(1)  # from its start
    with pytest.raises(RuntimeError, match="this loop is over"):
        next(running)
    assert labels(jumping) == epochs[1]


@pytest.mark.parametrize("kind", [np.int64, np.uint8, np.int8])
def test_the_number_of_an_epoch_may_be_of_numpy(root, kind):
    loader, plain = load(root, CutMix()), load(root, CutMix())
    last = np.iinfo(kind).max if kind != np.int64 else 3
    loader.set_epoch(kind(last)), plain.set_epoch(int(last))
    loader.load_state_dict(loader.state_dict())
    assert [len(list(loader)), loader.epoch] == [len(list(plain)), last + 1]
    assert torch.equal(next(iter(loader))[0], next(iter(plain))[0])


@pytest.mark.parametrize("epoch", [-1, 1.0, "1"])
def test_what_is_no_epoch(root, epoch):
    with pytest.raises(ValueError, match=f"epoch must be a whole number from 0, got {epoch!r}"):
        load(root, None).set_epoch(epoch)


def test_uint8_is_not_for_normalised_images(root):
    with pytest.raises(ValueError, match="dtype is uint8, which has no place for normalised .* give mean=0 and std=1"):
        ImageFolderLoader(root, **grouped(dtype="uint8", batch_size=4))


@pytest.mark.parametrize("copied", [pickle.dumps, copy.deepcopy])
def test_a_loader_cannot_be_copied(root, copied):
    with pytest.raises(TypeError, match="a loader cannot be copied or sent to another process"):
        copied(load(root))


def test_what_it_is_called(root):
    assert repr(load(root)) == "<ImageFolderLoader: 3 batches of 4 of 15 images>"


@pytest.mark.parametrize("options", [{"num_threads": 0}, {"num_threads": 2.0}, {"prefetch": None}], ids=str)
def test_what_is_no_number(root, options):
    with pytest.raises(ValueError, match="must be a whole number from"):
        load(root, None, **options)


@pytest.mark.parametrize("seed", [1.5, "1"])
def test_what_is_no_seed(root, seed):
    with pytest.raises(TypeError, match=f"seed must be a whole number, got {seed!r}"):
        load(root, None, seed=seed)


def test_plain_training_batches_are_flipped_half_of_the_time(tmp_path):
    (tmp_path / "a").mkdir()
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[:, :16] = 255
    for k in range(40):
        Image.fromarray(pixels).save(tmp_path / "a" / f"{k}.png")
    images = torch.cat([images for images, _ in load(tmp_path, None, 20)])
    left_is_brighter = images[..., :8].mean((1, 2, 3)) > images[..., -8:].mean((1, 2, 3))
    assert 8 <= left_is_brighter.sum() <= 32


def test_saying_the_epoch_that_comes_anyway_changes_nothing(root):
    loader, plain = (load(root, CutMix()) for _ in range(2))
    for epoch in range(3):
        loader.set_epoch(epoch)
        assert same(list(loader), list(plain))


def test_prefetch(root):
    """How far ahead of the loop the provider is."""
    for prefetch in (1, 4):
        seen = []
        loader = load(
            root, AttentiveCutMix(), heatmaps=lambda x, seen=seen: seen.append(1) or x[:, 0].float(), prefetch=prefetch
        )
        next(iter(loader))
        deadline = time.monotonic() + 120
        while len(seen) < prefetch and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.1)
        assert prefetch <= len(seen) <= prefetch + 1
        loader.close()
    with pytest.raises(ValueError, match="prefetch must be a whole number from 1, got 0"):
        load(root, None, prefetch=0)


COMPILED = """
import sys, torch
from dali_ops import ImageFolderLoader, Runtime, Train
from dalimix import CutMix

def sums(loader):
    return [(images.float().sum() + 2 * targets.sum()).item() for _ in range(2) for images, targets in loader]

for function in (sums, torch.compile(sums, backend="eager")):
    options = {"transform": Train(32), "runtime": Runtime("cpu"), "seed": 5}
    print(function(ImageFolderLoader(sys.argv[1], CutMix(), 4, **options)))
"""


def test_a_loop_that_is_compiled_leaves_the_loader_outside(root):
    """In a process of its own: what the compiler keeps would count as memory of the tests after this one."""
    ran = script("-c", COMPILED, root)
    plain, compiled = ran.stdout.splitlines() or pytest.fail(ran.stderr)
    assert plain == compiled
