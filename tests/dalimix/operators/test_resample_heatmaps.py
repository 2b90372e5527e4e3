"""resample_heatmaps: heatmaps brought to another grid."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from dalimix.resampling import axis_weights
from tests.support import by_hand

AXES = list(product([1, 2, 3, 7, 13, 14, 64], [2, 3, 7, 14, 64]))


def resample(backend: Any, heatmaps: np.ndarray, grid: int) -> np.ndarray:
    """Of the package that the backend stands for."""
    import dalimix.cpu
    import dalimix.cuda

    package = dalimix.cpu if backend.name == "cpu" else dalimix.cuda
    return backend.get(package.resample_heatmaps(backend.put(heatmaps), grid))


@pytest.mark.parametrize(("old", "new"), AXES)
def test_weights_are_those_of_the_rule(old: int, new: int) -> None:
    weights = np.array(axis_weights(old, new))
    assert weights.shape == (new, old)
    for k in range(new):
        shares = by_hand.axis_shares(k, old, new)
        expected = [float(shares.get(c, 0)) for c in range(old)]
        np.testing.assert_allclose(weights[k], expected, rtol=1e-15, atol=0)


def test_weights_by_hand() -> None:
    assert axis_weights(4, 2) == ((0.5, 0.5, 0, 0), (0, 0, 0.5, 0.5))
    assert axis_weights(3, 2) == ((2 / 3, 1 / 3, 0), (0, 1 / 3, 2 / 3))
    assert axis_weights(2, 4) == ((1, 0), (0.75, 0.25), (0.25, 0.75), (0, 1))
    assert axis_weights(1, 3) == ((1,), (1,), (1,))


@pytest.mark.parametrize("shape", [(14, 14), (5, 9), (1, 1), (64, 3), (3, 20)], ids=str)
@pytest.mark.parametrize("grid", [2, 7, 16])
def test_every_cell_by_hand(backend: Any, shape: tuple[int, int], grid: int) -> None:
    heatmaps = np.random.default_rng(0).standard_normal((3, *shape)).astype(np.float32)
    got = resample(backend, heatmaps, grid)
    assert got.dtype == np.float32
    for n, y, x in np.ndindex(3, grid, grid):
        assert got[n, y, x] == pytest.approx(by_hand.resampled(heatmaps[n], y, x, grid), rel=1e-6, abs=1e-7)


def test_its_own_grid_is_left_as_it_is(backend: Any) -> None:
    heatmaps = np.random.default_rng(0).standard_normal((3, 7, 7)).astype(np.float32)
    np.testing.assert_array_equal(resample(backend, heatmaps, 7), heatmaps)


@pytest.mark.parametrize(("shape", "grid"), [((14, 14), 7), ((5, 9), 7), ((4, 4), 14)], ids=str)
def test_all_backends_give_the_same_bits(backend: Any, shape: tuple[int, int], grid: int) -> None:
    """Also where NaN, infinities and huge numbers meet."""
    rng = np.random.default_rng(1)
    heatmaps = rng.standard_normal((64, *shape)) * 10.0 ** rng.integers(-30, 30, (64, 1, 1))
    heatmaps = heatmaps.astype(np.float32)
    heatmaps[rng.random(heatmaps.shape) < 0.05] = np.nan
    heatmaps[rng.random(heatmaps.shape) < 0.05] = np.inf
    heatmaps[rng.random(heatmaps.shape) < 0.05] = -np.inf
    heatmaps[rng.random(heatmaps.shape) < 0.05] = np.finfo(np.float32).max
    heatmaps[rng.random(heatmaps.shape) < 0.05] = np.finfo(np.float32).smallest_subnormal
    from dalimix.cpu import resample_heatmaps

    np.testing.assert_array_equal(resample(backend, heatmaps, grid), resample_heatmaps(heatmaps, grid))


def test_subnormal_numbers_count_as_0(backend: Any) -> None:
    """As they come in, and as they would go out: a GPU would flush them at either place."""
    least = np.finfo(np.float32).smallest_normal
    coming = np.array([[2 * least, 2 * least], [least / 2, -least / 4]], np.float32)
    going = np.array([[least, least], [least, 0]], np.float32)
    got = resample(backend, np.block([[coming, going], [going, coming]])[None], 2)
    np.testing.assert_array_equal(got, [[[least, 0], [0, least]]])


def test_a_cell_that_has_no_share_does_not_matter(backend: Any) -> None:
    heatmap = np.full((1, 4, 4), np.nan, np.float32)
    heatmap[0, 2:, :2] = 1, 3
    got = resample(backend, heatmap, 2)
    assert got[0, 1, 0] == 2
    assert np.isnan(got).sum() == 3
