"""What training loops in PyTorch expect of a loader."""

import pytest

pytest.importorskip("nvidia.dali")
torch = pytest.importorskip("torch")
pytest.importorskip("PIL.Image")

from dalimix import CutMix
from tests.conftest import need_gpu
from tests.test_loader import load, root  # noqa: F401  (a fixture)


@pytest.mark.parametrize("method", [None, CutMix()], ids=repr)
@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8"])
def test_channels_last_is_the_same_batch_in_another_order_of_memory(root, method, dtype):  # noqa: F811
    plain, last = (load(root, method, dtype=dtype, channels_last=value) for value in (False, True))
    for (images, targets), (images_too, targets_too) in zip(plain, last, strict=True):
        assert images_too.is_contiguous(memory_format=torch.channels_last)
        assert not images_too.is_contiguous()
        assert torch.equal(images, images_too)
        assert torch.equal(targets, targets_too)


def test_channels_last_in_validation(root):  # noqa: F811
    images, _ = next(iter(load(root, None, training=False, channels_last=True)))
    assert images.shape == (4, 3, 32, 32)
    assert images.is_contiguous(memory_format=torch.channels_last)


def test_channels_last_is_no_layout(root):  # noqa: F811
    with pytest.raises(ValueError, match="channels_last is for output_layout 'CHW', got 'HWC'"):
        load(root, None, channels_last=True, output_layout="HWC")


@pytest.mark.cuda
@pytest.mark.parametrize("form", ["dense", "pair"])
def test_pinned(root, request, form):  # noqa: F811
    need_gpu(request)
    images, targets = next(iter(load(root, CutMix(), pin_memory=True, form=form)))
    assert images.is_pinned()
    assert all(tensor.is_pinned() for tensor in (targets if form == "pair" else [targets]))


def test_pinning_needs_a_gpu_to_which_batches_go(root, monkeypatch):  # noqa: F811
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="pin_memory is for device='cpu' on a machine with a GPU"):
        load(root, CutMix(), pin_memory=True)


@pytest.mark.parametrize("form", ["dense", "pair"])
def test_all_of_a_batch_is_pinned(root, monkeypatch, form):  # noqa: F811
    """Where there is no GPU, by what is called."""
    pinned = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: pinned.append(self) or self)
    images, targets = next(iter(load(root, CutMix(), pin_memory=True, form=form)))
    assert [id(tensor) for tensor in pinned] == [id(images), *map(id, targets if form == "pair" else [targets])]


@pytest.mark.parametrize(("method", "training"), [(CutMix(), True), (None, False)])
def test_a_loop_that_is_left_early_is_followed_by_a_whole_epoch(root, method, training):  # noqa: F811
    """As with torch's DataLoader: validation would begin in the middle otherwise."""
    loader, plain = (load(root, method, training=training) for _ in range(2))
    next(iter(loader))
    assert loader.epoch == 0
    assert sum(1 for _ in loader) == len(loader)
    assert loader.epoch == 2
    first = next(iter(plain))[0]
    if not training:
        assert torch.equal(next(iter(loader))[0], first)


def test_one_loop_at_a_time(root):  # noqa: F811
    loader = load(root, None)
    first = iter(loader)
    next(first)
    second = iter(loader)
    next(second)
    with pytest.raises(RuntimeError, match="this loop is over: another one was begun"):
        next(first)
    assert sum(1 for _ in second) == len(loader) - 1


def test_set_epoch_gives_any_epoch(root):  # noqa: F811
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
    next(iter(jumping))
    jumping.set_epoch(1)  # from its start
    assert labels(jumping) == epochs[1]


def test_saying_the_epoch_that_comes_anyway_changes_nothing(root):  # noqa: F811
    loader, plain = (load(root, CutMix()) for _ in range(2))
    for epoch in range(3):
        loader.set_epoch(epoch)
        for (images, targets), (images_too, targets_too) in zip(loader, plain, strict=True):
            assert torch.equal(images, images_too)
            assert torch.equal(targets, targets_too)


def test_prefetch(root):  # noqa: F811
    for prefetch in (1, 4):
        assert len(list(load(root, CutMix(), prefetch=prefetch))) == 3
    with pytest.raises(ValueError, match="prefetch must be a whole number from 1, got 0"):
        load(root, None, prefetch=0)
