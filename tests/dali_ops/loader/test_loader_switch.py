"""What may change between two epochs: mixing off, another method, another size."""

import gc
import os
from dataclasses import replace
from typing import Any

import pytest
import torch

from dali_ops import Eval
from dalimix import AttentiveCutMix, CutMix, Mixup, RandomChoice
from tests.support.data.coloured import CLASSES
from tests.support.loaders import class_of, load, redness, sized
from tests.support.memory import used
from tests.support.same import same


def test_mixing_stops_and_targets_keep_their_form(root):
    for form in ("dense", "pair"):
        loader = load(root, CutMix(), form=form, smoothing=0.3 if form == "dense" else 0.0)
        list(loader)
        loader.switch(method=None)
        for images, targets in loader:
            if form == "pair":
                own, partner, weight = targets
                assert torch.equal(own, partner)
                assert weight.tolist() == [[1, 0]] * 4
            else:
                own = targets.argmax(1)
                assert torch.allclose(targets, torch.eye(3)[own] * 0.7 + 0.1)
            assert torch.equal(class_of(images), own)


def test_class_indices_become_targets_with_the_first_method(root):
    loader = load(root, None)
    assert next(iter(loader))[1].dtype == torch.int64
    loader.switch(method=CutMix())
    assert next(iter(loader))[1].shape == (4, 3)


def test_another_size(root):
    loader = load(root, CutMix(), keep_info=True)
    for size in (32, 48, 24):
        loader.switch(transform=sized(loader, size))
        for images, _ in loader:
            assert images.shape == (4, 3, size, size)
            assert loader.batch_info.plan.size == (size, size)


def test_other_crops_and_sides(root):
    """The labels of all methods and the info follow; switching back gives what was before."""
    loader = load(root, CutMix(), keep_info=True)
    changes: dict[str, Any] = {
        "size": (24, 40),
        "scale": (0.5, 1.0),
        "ratio": (1.0, 2.0),
        "interpolation": "lanczos",
        "flip": 0.1,
    }
    loader.switch(transform=replace(loader.transform, **changes))
    for images, targets in loader:
        assert images.shape == (4, 3, 24, 40)
        assert loader.batch_info.plan.size == (24, 40)
        expected = torch.tensor(list(CLASSES.values()), dtype=torch.float32)
        assert torch.allclose(images.mean((2, 3)), targets @ expected, atol=3)  # boxes of one colour, by their area


def test_plain_batches_stay_plain(root):
    for training in (True, False):
        loader = load(root, None, training=training)
        loader.switch(method=None, transform=sized(loader, 16))
        assert next(iter(loader))[1].dtype == torch.int64


def test_a_switch_forgets_the_info_of_the_last_batch(root):
    loader = load(root, CutMix(), keep_info=True)
    next(iter(loader))
    loader.switch(transform=sized(loader, 16))
    with pytest.raises(RuntimeError, match="batch_info is there from the first batch on"):
        _ = loader.batch_info


def test_a_switch_after_a_state_ends_the_epoch_of_the_state(root):
    loader = load(root, CutMix())
    next(iter(loader))
    state = loader.state_dict()
    loader.load_state_dict(state)
    loader.switch(transform=sized(loader, 16))
    assert loader.epoch == 1


def test_another_size_in_validation(root):
    loader = load(root, None, training=False)
    loader.switch(transform=sized(loader, 40))
    assert next(iter(loader))[0].shape == (4, 3, 40, 40)
    with pytest.raises(ValueError, match="mixing is for training"):
        loader.switch(method=CutMix())


def test_a_method_that_reads_heatmaps_and_back(root):
    loader = load(root, CutMix())
    with pytest.raises(ValueError, match="AttentiveCutMix needs heatmaps"):
        loader.switch(method=AttentiveCutMix(1, grid=2))
    loader.switch(method=AttentiveCutMix(1, grid=2), heatmaps=redness, heatmap_labels=True)
    for _, targets in loader:
        assert set(targets.unique().tolist()) <= {0, 0.25, 0.75, 1}
    loader.switch(method=Mixup())  # the provider is forgotten
    assert len(list(loader)) == 3


def labels_of(loader):
    return [loader.batch_info.labels.tolist() for _ in loader]


def test_the_order_of_images_does_not_depend_on_switches(root):
    plain, switched = (load(root, CutMix(), keep_info=True) for _ in range(2))
    for change in (
        {},
        {"method": Mixup()},
        {"transform": sized(plain, 40)},
        {"method": None},
        {"method": RandomChoice()},
    ):
        switched.switch(**change)
        assert labels_of(switched) == labels_of(plain)


def test_the_same_switches_give_the_same_batches(root):
    def run(method):
        loader = load(root, CutMix())
        first = list(loader)
        loader.switch(method=method)
        return first + list(loader) + list(loader)

    assert same(run(Mixup()), run(Mixup()))
    assert not same(run(Mixup()), run(Mixup(0.1)))


def test_random_numbers_do_not_start_again_with_every_switch(root):
    """Every pipeline has other ones: the same crops in every epoch would be a loss."""
    loader, weights = load(root, Mixup(), form="pair"), []
    for _ in range(3):
        weights.append(next(iter(loader))[1][2])
        loader.switch(transform=sized(loader, 32))
    assert not any(torch.equal(weights[a], weights[b]) for a, b in [(0, 1), (1, 2), (0, 2)])


def test_a_switch_ends_the_epoch_that_is_under_way(root):
    loader = load(root, CutMix())
    assert loader.epoch == 0
    loader.switch(transform=sized(loader, 24))  # nothing was read yet
    assert loader.epoch == 0
    running = iter(loader)
    next(running)
    loader.switch(transform=sized(loader, 16))
    assert loader.epoch == 1
    with pytest.raises(RuntimeError, match="this loop is over"):
        next(running)
    assert [images.shape[2] for images, _ in loader] == [16] * 3
    assert loader.epoch == 2


def test_what_cannot_be_switched(root):
    loader = load(root, CutMix())
    with pytest.raises(TypeError, match=r"no argument dtype: transform=Train\(dtype=…\)"):
        loader.switch(dtype="uint8")  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="transform cannot be switched from Train to Eval"):
        loader.switch(method=None, transform=Eval(32))
    with pytest.raises(TypeError, match="transform must be dali_ops.Train"):
        loader.switch(transform=32)  # type: ignore[arg-type]
    assert len(list(loader)) == 3  # as it was


def test_a_refused_switch_changes_nothing(root):
    loader, plain = (load(root, CutMix()) for _ in range(2))
    running = iter(loader)
    first = next(running)
    with pytest.raises(ValueError, match="AttentiveCutMix needs heatmaps"):
        loader.switch(method=AttentiveCutMix(1, grid=2))
    assert same([first, *running], list(plain))


def test_switches_leave_nothing_behind(root):
    loader = load(root, CutMix())

    def switch(times):
        for k in range(times):
            transform = sized(loader, 64 + 64 * (k % 2))
            loader.switch(transform=transform, method=(CutMix(), None, Mixup())[k % 3])
            next(iter(loader))
        gc.collect()
        return used(), len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd"))

    memory, threads, files = switch(30)
    memory_after, *rest = switch(60)
    assert rest == [threads, files]
    assert memory_after - memory < 12 << 20  # a pipeline that stayed would be some 5 MB, of each of the 60
