"""cutmix: the plan of a box of one image on another."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dalimix
from dalimix import CutMix, Draws
from tests.support.cases import BATCHES, BELOW_ONE, COUPLES, SIZES, check_drawn, check_plan, check_shares

VARIANTS = [
    {},
    {"correct_lam": False},
    {"ratio_minmax": (0.2, 0.8)},
    {"ratio_minmax": (0.0, 1.0), "correct_lam": False},
    {"ratio_minmax": (0.5, 0.5)},
]


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize(("per", "pairing"), COUPLES)
def test_plan_follows_the_formulas(backend: Any, per: Any, pairing: Any, batch: int) -> None:
    for prob in (0.0, 0.5, 1.0):
        check_plan(backend, CutMix(prob=prob, per=per, pairing=pairing), batch, (33, 17), seed=batch)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_every_variant_follows_the_formulas(backend: Any, variant: dict[str, Any], size: tuple[int, int]) -> None:
    for seed in range(5):
        check_plan(backend, CutMix(alpha=0.7, **variant), 64, size, seed)


def one_box(
    backend: Any, method: CutMix, lam: float, uniform: list[float], size: tuple[int, int]
) -> tuple[list[int], list[float]]:
    """Box and weight of the first of two images."""
    partner, rows = np.array([1, 0], np.int32), np.array([[*uniform, 0]] * 2, np.float32)
    plan = backend.plan(method, Draws(partner, np.full(2, lam, np.float32), rows), size)
    return plan.box[0].tolist(), plan.weight[0].tolist()


@pytest.mark.parametrize(
    ("lam", "centre", "size", "box", "share"),
    [
        (0.75, (0.5, 0.5), (224, 224), [56, 56, 168, 168], 0.25),
        (0.75, (0, 0), (224, 224), [0, 0, 56, 56], 0.0625),
        (0.75, (BELOW_ONE, BELOW_ONE), (224, 224), [167, 167, 224, 224], 57 * 57 / 224**2),
        (0.75, (0.5, 0), (40, 20), [10, 0, 30, 5], 0.125),
        (0.0, (0.5, 0.5), (224, 224), [0, 0, 224, 224], 1.0),
        (1.0, (0.5, 0.5), (224, 224), [112, 112, 112, 112], 0.0),
        (0.0, (0.5, 0.5), (33, 17), [0, 0, 32, 16], 32 * 16 / (33 * 17)),  # odd sides are cut in two halves
        (0.0, (0.5, 0.5), (1, 1), [0, 0, 0, 0], 0.0),
    ],
)
def test_box_by_hand(
    backend: Any, lam: float, centre: tuple[float, float], size: tuple[int, int], box: list[int], share: float
) -> None:
    assert one_box(backend, CutMix(), lam, list(centre), size) == (box, [np.float32(1 - share), np.float32(share)])


def test_uncorrected_labels_keep_lam_though_the_box_is_clipped(backend: Any) -> None:
    box, weight = one_box(backend, CutMix(correct_lam=False), 0.75, [0, 0], (224, 224))
    assert box == [0, 0, 56, 56]
    assert weight == [0.75, 0.25]


def test_ratio_minmax_reaches_both_ends_and_every_place(backend: Any) -> None:
    method = CutMix(ratio_minmax=(0.25, 0.75), correct_lam=False)
    assert one_box(backend, method, 0.9, [0, 0, 0, 0], (40, 20)) == ([0, 0, 10, 5], [0.9375, 0.0625])
    last = one_box(backend, method, 0.9, [BELOW_ONE] * 4, (40, 20))
    assert last == ([10, 5, 40, 20], [0.4375, 0.5625])


def test_box_does_not_move_by_rounding_to_float32(backend: Any) -> None:
    """⌊u n⌋ of the largest float32 below 1 is n − 1, however large n is."""
    size = (1 << 24, 3)
    box, _ = one_box(backend, CutMix(), 1 - 2**-20, [BELOW_ONE, 0], size)
    assert box[0] == (1 << 24) - 1 - (1 << 14) // 2


def test_centres_move_at_the_same_u_everywhere(backend: Any) -> None:
    """The u just below k / n, and its neighbours: a product in float32 would round many of them up to k."""
    n = 224
    exact = np.float32(np.arange(1, n) / n)
    u = np.concatenate([np.nextafter(exact, np.float32(0)), exact, np.nextafter(exact, np.float32(1))])
    assert (np.floor(u * np.float32(n)) != np.floor(u.astype(float) * n)).sum() > 50
    partner, lam = np.roll(np.arange(len(u), dtype=np.int32), 1), np.full(len(u), 0.9, np.float32)
    draws = Draws(partner, lam, np.stack([u, u, 0 * u], axis=1))
    check_drawn(backend, CutMix(), draws, (n, n))


def test_sides_grow_at_the_same_lam_everywhere(backend: Any) -> None:
    """λ at which n √(1 − λ) is just a whole number, and its neighbours: a square root in float32 is one pixel off."""
    n = 224
    exact = np.float32(1 - (np.arange(1, n + 1) / n) ** 2)
    lam = np.concatenate([exact, np.nextafter(exact, np.float32(0)), np.nextafter(exact, np.float32(1))]).clip(0, 1)
    batch = len(lam)
    draws = Draws(np.roll(np.arange(batch, dtype=np.int32), 1), lam, np.full((batch, 3), 0.5, np.float32))
    check_drawn(backend, CutMix(), draws, (n, n))


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("size", [(224, 224), (33, 17)], ids=str)
def test_the_label_share_is_that_of_the_pixels(backend: Any, size: tuple[int, int], mirrored: bool) -> None:
    check_shares(backend, CutMix(), size, np.arange(16) % 2 if mirrored else None)


def test_every_box_lies_inside_and_is_worth_its_area() -> None:
    height, width = 33, 17
    plan = dalimix.plan(CutMix(), dalimix.draw(CutMix(), 5000, 7), (height, width))
    top, left, bottom, right = plan.box.T
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (top <= bottom).all()
    assert (left <= right).all()
    assert (bottom <= height).all()
    assert (right <= width).all()
    area = (bottom - top) * (right - left) / (height * width)
    np.testing.assert_array_equal(plan.weight, np.stack([1 - area, area], axis=1).astype(np.float32))
