"""smmix: the plan of the region that one heatmap ranks highest, over that which another ranks lowest."""

from __future__ import annotations

import re
from itertools import product
from typing import Any

import numpy as np
import pytest

import dalimix
from dalimix import AttentiveCutMix, Draws, Mixup, RandomChoice, SMMix, TokenMix
from tests.support import by_hand
from tests.support.cases import (
    BATCHES,
    BELOW_ONE,
    COUPLES,
    SIZES,
    assert_same_images,
    assert_same_plan,
    check_plan,
    check_shares,
    heatmaps_for,
)
from tests.support.data.at_random import random_images
from tests.support.host import ORDERS, HostKernel

VARIANTS = [
    {"grid": 7},
    {"min_side": 0.5, "max_side": 0.5, "grid": 2},
    {"min_side": 1, "max_side": 1, "grid": 5},
    {"min_side": 0.2, "max_side": 0.9, "grid": (5, 9)},
    {"grid": (14, 10)},
]


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize(("per", "pairing"), COUPLES)
def test_plan_follows_the_formulas(backend: Any, per: Any, pairing: Any, batch: int) -> None:
    for prob, longest in ((0.0, 0.5), (0.5, 1.0), (1.0, 0.75)):
        method = SMMix(0.2, longest, grid=6, prob=prob, per=per, pairing=pairing)
        check_plan(backend, method, batch, (33, 17), seed=batch)


@pytest.mark.parametrize("size", [*SIZES, (50, 70)], ids=str)
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_every_variant_follows_the_formulas(backend: Any, variant: dict[str, Any], size: tuple[int, int]) -> None:
    check_plan(backend, SMMix(**variant), 7, size)


def drawn(batch: int, u: float = 0.0) -> Draws:
    """Partners in order, for pairing="roll", and one number for every side."""
    uniform = np.stack([np.full(batch, u), np.zeros(batch)], axis=1).astype(np.float32)
    return Draws(np.arange(batch, dtype=np.int32), None, uniform)


def test_sides_reach_both_ends(backend: Any) -> None:
    """⌊14 · 0.25⌋ = 3 to ⌊14 · 0.75⌋ = 10, eight lengths."""
    method = SMMix(pairing="roll")
    for u, side in {0.0: 3, 1 / 8: 4, 0.5: 7, BELOW_ONE: 10}.items():
        plan = backend.plan(method, drawn(3, u), (224, 224), heatmaps_for(method, 3))
        assert (plan.box[:, 2:] - plan.box[:, :2] == 16 * side).all()
        assert (plan.tokens.sum((1, 2)) == side**2).all()
        assert (plan.weight == np.array([1 - side**2 / 196, side**2 / 196], np.float32)).all()


@pytest.mark.parametrize(
    ("share", "grid", "cells"), [(0.29, 50, 14), (0.58, 50, 29), (0.7, 10, 7), (0.28, 14, 3), (0.25, (8, 12), 2)]
)
def test_a_share_counts_as_it_is_written(share: float, grid: Any, cells: int) -> None:
    assert SMMix(share, share, grid).sides == (cells, cells)


def test_every_side_is_drawn_alike() -> None:
    method = SMMix(grid=8, min_side=0.25, max_side=0.75, pairing="roll")
    plan = dalimix.plan(method, dalimix.draw(method, 5000, 0), (64, 64), heatmaps_for(method, 5000))
    sides, counts = np.unique((plan.box[:, 2] - plan.box[:, 0]) // 8, return_counts=True)
    assert sides.tolist() == [2, 3, 4, 5, 6]
    assert abs(counts - 1000).max() < 5 * (5000 * 1 / 5 * 4 / 5) ** 0.5


@pytest.mark.parametrize("size", [(28, 28), (42, 28)], ids=str)
@pytest.mark.parametrize("mirrored", [False, True])
def test_every_patch_is_where_it_belongs(backend: Any, size: tuple[int, int], mirrored: bool) -> None:
    """Each pixel names its image, and the cell of the image in which it was before it was mirrored."""
    method, batch, grid = SMMix(0.2, 0.8, grid=7), 12, 7
    rng = np.random.default_rng(0)
    heatmaps = rng.random((batch, grid, grid), np.float32)
    mirror = rng.integers(0, 2, batch).astype(np.int32) if mirrored else None
    plan = backend.plan(method, dalimix.draw(method, batch, 1), size, heatmaps, mirror)
    images = np.empty((batch, *size, 2), np.uint8)
    images[..., 0] = np.arange(batch)[:, None, None]
    images[..., 1] = np.kron(np.arange(49).reshape(7, 7), np.ones([n // 7 for n in size]))
    mixed = backend.compose(images, plan, mirror)[:, size[0] // 14 :: size[0] // 7, size[1] // 14 :: size[1] // 7]
    for i, j in enumerate(plan.partner):
        shown, seen = by_hand_cells(plan, i, size), [mirrored_cells(mirror, n) for n in (i, j)]
        for (y, x), source in np.ndenumerate(shown):
            expected = [i, seen[0][y, x]] if source is None else [j, seen[1][source]]
            assert mixed[i, y, x].tolist() == expected


def mirrored_cells(mirror: Any, n: int) -> np.ndarray:
    cells = np.arange(49).reshape(7, 7)
    return cells[:, ::-1] if mirror is not None and mirror[n] else cells


def by_hand_cells(plan: Any, i: int, size: tuple[int, int]) -> np.ndarray:
    """[7, 7]: the cell of the partner that shows, by the tokens and the shift; None where image i does."""
    shift = [int(s) // (n // 7) for s, n in zip(plan.shift[i], size, strict=True)]
    shown = np.full((7, 7), None, object)
    for y, x in np.argwhere(plan.source_mask[i]):
        shown[y, x] = (y + shift[0], x + shift[1])
    return shown


@pytest.mark.parametrize("size", [(224, 224), (33, 17), (50, 70), (100, 30)], ids=str)
def test_the_label_share_is_that_of_the_pixels(backend: Any, size: tuple[int, int]) -> None:
    check_shares(backend, SMMix(grid=(6, 9)), size)


@pytest.mark.parametrize("mirror", [[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 1]], ids=str)
@pytest.mark.parametrize("kind", [np.int32, np.uint8, bool], ids=lambda kind: kind.__name__)
def test_heatmaps_are_flipped_with_their_images(backend: Any, mirror: list[int], kind: type) -> None:
    method, flips = SMMix(0.4, 0.8, grid=(5, 6), pairing="roll"), np.array(mirror, kind)
    draws, heatmaps = dalimix.draw(method, 3, 0), heatmaps_for(method, 3)
    want = by_hand.plan(method, draws, (50, 60), heatmaps, flips)
    assert_same_plan(backend.plan(method, draws, (50, 60), heatmaps, flips), want)


@pytest.mark.parametrize("grids", [(14, 7, 7), ((5, 9), (5, 9), 3), (6, 4, 6), ((4, 6), 2, 4), (14, 16, 16)], ids=str)
def test_with_other_methods(backend: Any, grids: tuple[Any, int, int]) -> None:
    """Tokens of different grids are brought to a common one; some images are moved, some are not."""
    inside = [SMMix(grid=grids[0]), Mixup()]
    inside += [] if isinstance(grids[1], tuple) else [AttentiveCutMix(3, grid=grids[1]), TokenMix(grid=grids[2])]
    method, (rows, columns) = RandomChoice(inside), inside[0].token_grid
    draws, heatmaps = dalimix.draw(method, 24, 1), heatmaps_for(method, 24, (rows, columns))
    got, images = backend.plan(method, draws, (33, 50), heatmaps), random_images(24, 33, 50)
    assert_same_plan(got, by_hand.plan(method, draws, (33, 50), heatmaps))
    assert_same_images(backend.compose(images, got), by_hand.compose(images, got))


def test_what_is_read_lies_inside_of_the_image() -> None:
    """The largest window from the last place, and any window from any other, for all small grids and sizes."""
    for n, g, side in product(range(1, 40), range(2, 15), range(1, 15)):
        first = np.arange(g + 1) * n // g
        if side <= g:
            assert first[g - side] + (first[side:] - first[:-side]).max() <= n


def test_a_choice_wants_heatmaps_of_one_grid() -> None:
    inside = [Mixup(), SMMix(grid=4), TokenMix(grid=3)]
    assert RandomChoice([Mixup(), RandomChoice(inside)]).heatmap_grid == (4, 4)
    assert RandomChoice([Mixup(), TokenMix()]).heatmap_grid is None
    with pytest.raises(ValueError, match=r"methods must take heatmaps of one grid, got \[\(4, 4\), \(6, 6\)\]"):
        RandomChoice([RandomChoice(inside), SMMix(grid=6)])


def test_a_choice_of_different_grids_that_are_not_square() -> None:
    assert RandomChoice([SMMix(grid=(14, 10)), TokenMix(grid=7)]).token_grid == (70, 70)
    assert RandomChoice([SMMix(grid=(14, 10)), Mixup()]).token_grid == (14, 10)


def test_masks_are_complements(backend: Any) -> None:
    method = SMMix(grid=5)
    plan = backend.plan(method, dalimix.draw(method, 7, 0), (50, 50), heatmaps_for(method, 7))
    assert plan.source_mask.dtype == plan.target_mask.dtype == bool
    assert (plan.source_mask ^ plan.target_mask).all()
    assert (plan.source_mask == (plan.tokens == 1)).all()


def test_masks_need_tokens() -> None:
    plan = dalimix.plan(Mixup(), dalimix.draw(Mixup(), 2, 0), (8, 8))
    for mask in ("source_mask", "target_mask"):
        with pytest.raises(ValueError, match="this plan has no tokens"):
            getattr(plan, mask)


@pytest.mark.parametrize("backend", ["host"], indirect=True)
@pytest.mark.parametrize("order", ORDERS)
def test_in_any_order_of_the_threads(backend: Any, order: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HostKernel, "order", order)
    check_plan(backend, SMMix(0.2, 0.8, grid=14), 3, (33, 17))


def test_inputs_stay_as_they_are(backend: Any) -> None:
    method = SMMix(grid=6)
    heatmaps, mirror = heatmaps_for(method, 7), np.ones(7, np.int32)
    kept = heatmaps.copy()
    backend.plan(method, dalimix.draw(method, 7, 1), (33, 17), heatmaps, mirror)
    np.testing.assert_array_equal(heatmaps, kept)


GRIDS = "grid must be a whole number from 2 to 64, or two of them"
RANGE = "sides must be 0 < min_side <= max_side <= 1, shares of the grid"
BAD_METHODS = [
    ({"min_side": 0}, f"{RANGE}, got (0, 0.75)"),
    ({"min_side": 0.05}, "min_side must be at least one of the 14 cells of the grid, got 0.05"),
    ({"min_side": 0.3, "grid": (9, 3)}, "min_side must be at least one of the 3 cells of the grid, got 0.3"),
    ({"max_side": 1.01}, f"{RANGE}, got (0.25, 1.01)"),
    ({"max_side": 0.2}, f"{RANGE}, got (0.25, 0.2)"),
    ({"max_side": float("nan")}, f"{RANGE}, got (0.25, nan)"),
    ({"max_side": "1"}, f"{RANGE}, got (0.25, '1')"),
    ({"min_side": True}, f"{RANGE}, got (True, 0.75)"),
    ({"grid": 1}, f"{GRIDS}, got 1"),
    ({"grid": 65}, f"{GRIDS}, got 65"),
    ({"grid": (14, 65)}, f"{GRIDS}, got (14, 65)"),
    ({"grid": (14,)}, f"{GRIDS}, got (14,)"),
    ({"grid": 7.0}, f"{GRIDS}, got 7.0"),
    ({"grid": "14"}, f"{GRIDS}, got '14'"),
    ({"prob": 2}, "prob must be in [0, 1], got 2"),
]


@pytest.mark.parametrize(("given", "message"), BAD_METHODS, ids=str)
def test_bad_parameters(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(f'SMMix: {message}')}$"):
        SMMix(**given)


def test_methods_compare_by_value() -> None:
    assert SMMix(grid=[14, 10]) == SMMix(grid=(14, 10))  # type: ignore[arg-type]
    assert len({SMMix(grid=[5, 8]), SMMix(grid=(5, 8)), SMMix(grid=5)}) == 2  # type: ignore[arg-type]


BLIND = np.zeros((4, 14, 14), np.float32)
BLIND[2] = np.nan
OTHER = "SMMix needs heatmaps of its grid (14, 14), got heatmaps of (7, 7): choose SMMix(grid=(7, 7)), or heatmaps of"
BAD_HEATMAPS = [
    (None, ValueError, "SMMix needs heatmaps: heatmaps=[4, h, w], floating, one map for each image"),
    (np.zeros((4, 7, 7), np.float32), ValueError, OTHER),
    (
        np.zeros((4, 14, 7), np.float32),
        ValueError,
        "SMMix needs heatmaps of its grid (14, 14), got heatmaps of (14, 7)",
    ),
    (np.zeros((3, 14, 14), np.float32), ValueError, "heatmaps has 3 entries but the batch has 4 images"),
    (np.zeros((4, 14, 14), np.int64), TypeError, "heatmaps must be floating, got int64"),
    (BLIND, ValueError, "heatmaps[2] has NaN in it: expected finite numbers"),
]


@pytest.mark.parametrize("method", [SMMix(), RandomChoice([Mixup(), RandomChoice([SMMix()])])], ids=lambda m: m.name)
@pytest.mark.parametrize(("heatmaps", "error", "message"), BAD_HEATMAPS, ids=lambda v: str(v)[:30])
def test_bad_heatmaps(method: Any, heatmaps: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message) if heatmaps is not None else "SMMix.* needs heatmaps"):
        dalimix.plan(method, dalimix.draw(method, 4, 0), (224, 224), heatmaps)
