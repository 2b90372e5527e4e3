"""attention_region: against a plain search over all windows, with ties, constants, NaN and infinities."""

from typing import Any

import numpy as np
import pytest

from dalimix import Draws, SMMix
from tests.support.formulas import smmix_by_hand

MAPS = 10_000
pytestmark = pytest.mark.usefixtures("unseen_heatmaps")
GRIDS = [(7, 7), (5, 9), (6, 4), (2, 2)]


def regions(backend: Any, heatmaps: np.ndarray, side: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The windows [B, 2] in which each map is lowest, and in which the map before it is highest, by the plan.

    The image has a pixel for each cell, so that box and shift are cells.
    """
    batch, grid = len(heatmaps), heatmaps.shape[1:]
    method = SMMix(1 / min(grid), 1, grid, pairing="roll")
    uniform = np.stack([(side - 0.5) / min(grid), np.zeros(batch)], axis=1).astype(np.float32)
    plan = backend.plan(method, Draws(np.arange(batch, dtype=np.int32), None, uniform), grid, heatmaps)
    assert (plan.box[:, 2:] - plan.box[:, :2] == side[:, None]).all()
    return plan.box[:, :2], plan.box[:, :2] + plan.shift


def planted(count: int, grid: tuple[int, int], seed: int = 0) -> np.ndarray:
    """Random maps; of each seven one is constant, one has few values and so many ties, one has NaN, one infinities,
    one is tiny, and one has both signs."""
    rng = np.random.default_rng(seed)
    maps = rng.random((count, *grid), np.float32)
    kind = np.arange(count) % 7
    maps[kind == 1] = rng.choice([0.0, 0.1, -3.0, 1e30], (kind == 1).sum())[:, None, None]
    maps[kind == 2] = rng.integers(0, 3, maps[kind == 2].shape) / 10
    maps[kind == 3] = np.where(rng.random(maps[kind == 3].shape) < 0.1, np.nan, maps[kind == 3])
    maps[kind == 4] = np.where(rng.random(maps[kind == 4].shape) < 0.1, rng.choice([-np.inf, np.inf]), maps[kind == 4])
    maps[kind == 5] *= 1e-30
    maps[kind == 6] -= 0.5
    return maps


def check(backend: Any, heatmaps: np.ndarray, side: np.ndarray) -> None:
    lowest, highest = regions(backend, heatmaps, side)
    plain = heatmaps.tolist()
    for i, length in enumerate(side.tolist()):
        assert tuple(lowest[i]) == smmix_by_hand.region(plain[i], length, min), i
        assert tuple(highest[i]) == smmix_by_hand.region(plain[i - 1], length, max), i


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_equals_a_search_over_all_windows(backend: Any, grid: tuple[int, int]) -> None:
    count = MAPS // len(GRIDS)
    side = np.random.default_rng(1).integers(1, min(grid) + 1, count)
    check(backend, planted(count, grid), side)


@pytest.mark.parametrize("grid", [(64, 64), (33, 64), (14, 14)], ids=str)
def test_large_grids(backend: Any, grid: tuple[int, int]) -> None:
    check(backend, planted(7, grid), np.array([1, 3, 6, 10, 12, 13, 14]))


def test_of_equal_windows_the_first_counts(backend: Any) -> None:
    """Two hot cells and two cold ones: the upper of the first, the left of the second."""
    heatmap = np.full((1, 4, 6), 1, np.float32)
    heatmap[0, [1, 3], 4] = 2
    heatmap[0, 2, [1, 5]] = 0
    lowest, highest = regions(backend, heatmap.repeat(3, axis=0), np.array([1, 1, 1]))
    assert lowest.tolist() == [[2, 1]] * 3
    assert highest.tolist() == [[1, 4]] * 3


def test_both_zeros_are_equal(backend: Any) -> None:
    heatmap = np.zeros((1, 3, 4), np.float32)
    heatmap[0, 0, :2] = -0.0
    for maps in (heatmap, -heatmap):
        lowest, highest = regions(backend, maps.repeat(3, axis=0), np.array([1, 2, 1]))
        assert not lowest.any()
        assert not highest.any()


def test_nan_is_ranked_last_both_ways(backend: Any) -> None:
    """All windows of three of these four rows hold the NaN, but for the last ones."""
    heatmap = np.zeros((1, 4, 4), np.float32)
    heatmap[0, 0, 0] = np.nan
    lowest, highest = regions(backend, heatmap.repeat(2, axis=0), np.array([3, 3]))
    assert lowest.tolist() == highest.tolist() == [[0, 1]] * 2
    heatmap[0, 1, 1] = np.nan
    heatmap[0, 1, 2] = np.nan
    lowest, highest = regions(backend, heatmap.repeat(2, axis=0), np.array([3, 3]))
    assert lowest.tolist() == highest.tolist() == [[0, 0]] * 2, "all are NaN"


def test_sums_are_float64(backend: Any) -> None:
    """1 beside 2²⁴ is lost in float32: the sums would be equal, and the first window would be taken."""
    heatmap = np.array([[[2**24, 0, 2**24, 1], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]], np.float32)
    _, highest = regions(backend, heatmap.repeat(2, axis=0), np.array([2, 2]))
    assert highest.tolist() == [[0, 2]] * 2


def test_a_map_of_nothing_but_nan_takes_the_first_window(backend: Any) -> None:
    heatmaps = np.full((2, 5, 5), np.nan, np.float32)
    lowest, highest = regions(backend, heatmaps, np.array([2, 3]))
    assert not lowest.any()
    assert not highest.any()
