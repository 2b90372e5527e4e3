"""erase: which boxes of the images are erased."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import dalimix
from dalimix import Draws, Erase, ErasePlan, Mixup
from tests.support.formulas import erase_by_hand

MANY = 40_000
ERASES = [
    Erase(prob=1.0),
    Erase(prob=0.5, count=(1, 4), area=(0.1, 0.9), ratio=(0.1, 2)),
    Erase(prob=0.0),
    Erase(prob=1.0, area=(1, 1)),  # which never fits
    Erase(prob=1.0, area=(0, 0)),
]


def draws_of(erase: Erase, batch: int, seed: int = 0) -> Draws:
    return dalimix.draw(Mixup(), batch, seed, erase)


@pytest.mark.parametrize("size", [(224, 224), (33, 17), (1, 1)], ids=str)
@pytest.mark.parametrize("erase", ERASES, ids=repr)
def test_boxes_follow_the_formulas(backend: Any, erase: Erase, size: tuple[int, int]) -> None:
    draws = draws_of(erase, 64)
    plan = backend.plan_erase(erase, draws, size)
    wanted = [erase_by_hand.boxes(erase, [int(word) for word in key], size) for key in draws.erase]
    assert (plan.box.dtype, plan.box.shape, plan.size) == (np.int32, (64, erase.counts[1], 4), size)
    np.testing.assert_array_equal(plan.box, wanted)
    np.testing.assert_array_equal(plan.key, draws.erase)


@pytest.mark.parametrize("size", [(224, 224), (96, 160)], ids=str)
@pytest.mark.parametrize("erase", [Erase(), Erase(prob=0.9, count=3), Erase(area=(0.02, 0.9))], ids=repr)
def test_boxes_are_those_of_timm(size: tuple[int, int], erase: Erase) -> None:
    """Two-sample tests of sides, area, ratio and place, how many are left out, and how many there are."""
    stats = pytest.importorskip("scipy.stats")
    rng = random.Random(1)
    theirs = [erase_by_hand.timm(rng, size, erase) for _ in range(MANY)]
    ours = dalimix.plan_erase(erase, draws_of(erase, MANY), size).box
    counts = (ours[:, :, 2] > 0).sum(axis=1)
    of_timm = np.array([len(boxes) for boxes in theirs])
    spread = 5 * np.sqrt(MANY / 2)
    for count in range(erase.counts[1] + 1):
        assert abs((counts == count).sum() - (of_timm == count).sum()) < spread
    one, other = (sides(boxes[boxes[:, 2] > 0]) for boxes in (ours.reshape(-1, 4), np.concatenate(
        [np.array(boxes).reshape(-1, 4) for boxes in theirs])))  # fmt: skip
    for name, values in one.items():
        assert stats.ks_2samp(values, other[name]).pvalue > 1e-3, name


def sides(boxes: np.ndarray) -> dict[str, np.ndarray]:
    height, width = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    kept = {"height": height, "width": width, "area": height * width, "ratio": height / width}
    return kept | {"top": boxes[:, 0], "left": boxes[:, 1], "bottom": boxes[:, 2]}


def test_how_many_boxes_an_image_has_is_drawn() -> None:
    erase = Erase(prob=1.0, count=(2, 5))
    counts = np.bincount((dalimix.plan_erase(erase, draws_of(erase, MANY), 224).box[:, :, 2] > 0).sum(axis=1))
    assert counts[:2].sum() == 0
    assert (abs(counts[2:] - MANY / 4) < 5 * np.sqrt(MANY)).all()


def test_the_numbers_of_a_method_are_the_same_with_erasing() -> None:
    plain, erasing = dalimix.draw(Mixup(), 8, 3), draws_of(Erase(), 8, 3)
    assert plain.erase is None
    assert len(erasing.arrays()) == len(plain.arrays()) + 1
    for name in ("partner", "lam", "uniform"):
        np.testing.assert_array_equal(getattr(plain, name), getattr(erasing, name))
    assert (erasing.erase.dtype, erasing.erase.shape) == (np.uint32, (8, 2))
    np.testing.assert_array_equal(erasing.mapped(np.copy).erase, erasing.erase)


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"prob": 1.5}, r"prob must be in \[0, 1\], got 1.5"),
        ({"area": (0.5, 0.2)}, "area must be .smallest, largest., shares of the image"),
        ({"area": 0.5}, "area must be"),
        ({"area": (0.1, 1.1)}, "area must be"),
        ({"ratio": (0, 3)}, "ratio must be"),
        ({"ratio": (2, 1)}, "ratio must be"),
        ({"count": 0}, "count must be a whole number from 1 to 64"),
        ({"count": (3, 2)}, "count must be"),
        ({"count": 65}, "count must be"),
        ({"value": "rand"}, "value must be 'noise', 'const' or a finite number"),
        ({"value": float("nan")}, "value must be"),
        ({"value": float("inf")}, "value must be"),
        ({"value": True}, "value must be"),
        ({"value": None}, "value must be"),
    ],
    ids=str,
)
def test_parameters_out_of_their_range(parameters: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=f"Erase: {said}"):
        Erase(**parameters)


def test_equal_options_are_equal() -> None:
    given: dict[str, Any] = {"prob": np.float32(0.5), "area": [0, 1], "count": [1, 2], "value": 0}
    assert Erase(**given) == Erase(0.5, (0.0, 1.0), count=(1, 2), value=0.0)
    assert hash(Erase(value="const")) != hash(Erase(value="noise"))
    assert [Erase(value=value).fill for value in ("noise", "const", 2)] == [None, 0.0, 2.0]


def test_wrong_arguments_of_the_plan() -> None:
    erase, draws = Erase(), draws_of(Erase(), 4)
    with pytest.raises(TypeError, match="erase must be a dalimix.Erase, such as"):
        dalimix.plan_erase(0.25, draws, 32)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="erase must be a dalimix.Erase, such as"):
        dalimix.draw(Mixup(), 4, 0, 0.25)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="draws are without those of erasing: dalimix.draw"):
        dalimix.plan_erase(erase, dalimix.draw(Mixup(), 4), 32)
    with pytest.raises(ValueError, match=r"draws.erase must be of \[4, 2\], got \[3, 2\]"):
        dalimix.plan_erase(erase, replace(draws, erase=draws.erase[:3]), 32)
    with pytest.raises(TypeError, match="draws.erase must be of uint32, got int64"):
        dalimix.plan_erase(erase, replace(draws, erase=draws.erase.astype("int64")), 32)
    with pytest.raises(TypeError, match="erase.value must be a number, or None for noise, got 'noise'"):
        ErasePlan(draws.erase, draws.erase, "noise")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="erase.box must be an array"):
        ErasePlan(None, draws.erase)
