"""The callback of `mix` by itself: what it checks with the first batch alone, and what with every one."""

from typing import Any

import numpy as np
import pytest

import dalimix
from dali_ops.operators.mixer import Mixer
from dali_ops.operators.pixels import Pixels
from dali_ops.operators.targets import Targets
from dalimix import AttentiveCutMix, CutMix
from dalimix.cpu import PLANNERS

BYTES = np.full((4, 8, 8, 3), 200, np.uint8)
LABELS = np.arange(4)


def mixer(method: Any, **pixels: Any) -> Mixer:
    options = {"with_heatmaps": method.reads_heatmaps, "mirrored": False, "return_plan": False}
    return Mixer(method=method, num_classes=4, targets=Targets(), pixels=Pixels(**pixels), **options)


def mixed(by: Mixer, images: np.ndarray = BYTES, labels: np.ndarray = LABELS, heatmaps: Any = None) -> list[np.ndarray]:
    draws = dalimix.draw(by.method, len(images), 0)
    return by.outputs(images, labels, draws, heatmaps, None, "HWC")


CHANGES = {
    "dtype": ({"images": BYTES.astype(np.int16)}, TypeError, "images must have dtype"),
    "units": ({"images": BYTES.astype(np.float32) / 255}, ValueError, "mean"),
    "layout": ({"images": np.zeros((4, 3, 64, 64), np.uint8)}, ValueError, "look like CHW"),
    "labels": ({"labels": np.eye(4, 5)}, ValueError, "num_classes is 4 but labels has 5 columns"),
    "dtype of labels": ({"labels": LABELS.astype(np.float64)}, ValueError, "labels must be integer"),
    "batch": ({"labels": np.arange(3)}, ValueError, "labels has 3 entries but the batch has 4 images"),
}


def test_soft_labels_of_another_shape_are_checked_again() -> None:
    ours = mixer(CutMix())
    mixed(ours, labels=np.eye(4))
    with pytest.raises(ValueError, match="num_classes is 4 but labels has 5 columns"):
        mixed(ours, labels=np.eye(4, 5))


def test_a_planner_that_writes_a_wrong_plan_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(method: Any, draws: Any, scene: Any) -> Any:
        plan = right(method, draws, scene)
        plan.box[0] = 0, 0, 8, 9
        return plan

    right = PLANNERS["cutmix"]
    monkeypatch.setitem(PLANNERS, "cutmix", wrong)
    ours = mixer(CutMix())
    for _ in range(2):
        with pytest.raises(ValueError, match=r"plan.box\[0\] is \[0, 0, 8, 9\]"):
            mixed(ours)


VALUES = {
    "class": ({"labels": np.array([0, 1, 2, 4])}, ValueError, "label 4 of sample 3 is outside"),
    "NaN": ({"heatmaps": np.full((4, 7, 7), np.nan, np.float32)}, ValueError, "has NaN in it"),
}


@pytest.mark.parametrize(("change", "error", "message"), CHANGES.values(), ids=CHANGES)
def test_whatever_changes_is_checked_again(change: dict[str, Any], error: type[Exception], message: str) -> None:
    ours = mixer(CutMix(), mean=127.5, std=64.0)
    mixed(ours)
    for _ in range(2):  # what was refused is not known either
        with pytest.raises(error, match=message):
            mixed(ours, **change)
    assert mixed(ours)[0].shape == BYTES.shape


@pytest.mark.parametrize(("change", "error", "message"), VALUES.values(), ids=VALUES)
def test_values_are_checked_in_every_batch(change: dict[str, Any], error: type[Exception], message: str) -> None:
    heatmaps = np.random.default_rng(0).random((4, 7, 7), np.float32)
    ours = mixer(AttentiveCutMix())
    mixed(ours, heatmaps=heatmaps)
    with pytest.raises(error, match=message):
        mixed(ours, **({"heatmaps": heatmaps} | change))


def test_batches_of_several_sizes_and_dtypes_are_as_by_the_functions() -> None:
    ours = mixer(CutMix(), dtype="float32", output_layout="CHW")
    for images in (BYTES, BYTES[:3], np.full((5, 6, 10, 3), 0.25, np.float32), BYTES):
        labels = np.arange(len(images)) % 4
        draws = dalimix.draw(ours.method, len(images), 0)
        plan = dalimix.plan(ours.method, draws, images.shape[1:3])
        pixels, targets = mixed(ours, images, labels)
        expected = dalimix.compose(images, plan, dtype="float32", output_layout="CHW")
        np.testing.assert_array_equal(pixels, expected)
        np.testing.assert_array_equal(targets, dalimix.soft_labels(labels, plan, 4))
