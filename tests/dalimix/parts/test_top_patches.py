"""top_patches: which cells of a heatmap are the N highest. Through the plan of Attentive CutMix, image by image."""

from typing import Any

import numpy as np
import pytest

from dalimix import AttentiveCutMix, Draws
from tests.support.host import ORDERS, HostKernel

pytestmark = pytest.mark.usefixtures("unseen_heatmaps")
KINDS = ("plain", "ties", "NaN", "infinities", "constant", "signed zeros", "subnormals", "nearly all NaN")


def planted_heatmaps(count: int, grid: int, seed: int) -> np.ndarray:
    """Random heatmaps with everything planted that an order can stumble over."""
    rng = np.random.default_rng(seed)
    maps = rng.standard_normal((count, grid, grid)).astype(np.float32)
    for n, heatmap in enumerate(maps):
        _plant(heatmap, KINDS[n % len(KINDS)], rng)
    return maps


def _plant(heatmap: np.ndarray, kind: str, rng: np.random.Generator) -> None:
    some = rng.random(heatmap.shape) < 0.4
    if kind == "ties":
        heatmap[:] = rng.integers(-2, 3, heatmap.shape)
    if kind == "NaN":
        heatmap[some] = np.copysign(np.nan, rng.standard_normal(heatmap.shape))[some]
    if kind == "infinities":
        heatmap[some] = rng.choice([np.inf, -np.inf, np.nan], heatmap.shape)[some]
    if kind == "constant":
        heatmap[:] = rng.choice([0, -1.5, np.inf, -np.inf])
    if kind == "signed zeros":
        heatmap[:] = rng.choice([0.0, -0.0, -1.0, 1e-38], heatmap.shape)
    if kind == "subnormals":
        heatmap[:] = rng.integers(-3, 4, heatmap.shape) * np.finfo(np.float32).smallest_subnormal
    if kind == "nearly all NaN":
        heatmap[:] = np.nan
        heatmap.flat[rng.integers(heatmap.size)] = rng.choice([-np.inf, 0, 1])


def one_by_one(heatmaps: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The N highest cells of every map: sorted one map at a time, by value and then by index, NaN as the lowest."""
    tokens = np.zeros(heatmaps.shape, np.uint8)
    for heatmap, count, token in zip(heatmaps, counts, tokens, strict=True):
        flat = heatmap.ravel().astype(np.float64)
        values = np.where(np.isnan(flat), -np.inf, flat)
        order = np.lexsort((np.arange(flat.size), -values, np.isnan(flat)))  # the last key counts most
        token.flat[order[:count]] = 1
    return tokens


def chosen(backend: Any, heatmaps: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The cells that Attentive CutMix pastes from every image, `counts` of them."""
    batch, grid, _ = heatmaps.shape
    method = AttentiveCutMix(top=(1, grid * grid), grid=grid, pairing="roll")
    uniform = np.stack([(np.roll(counts, 1) - 0.5) / grid**2, 0 * counts], axis=1).astype(np.float32)
    draws = Draws(np.arange(batch, dtype=np.int32), None, uniform)
    return np.roll(backend.plan(method, draws, (grid, grid), heatmaps).tokens, -1, axis=0)


@pytest.mark.parametrize(("grid", "count"), [(7, 10_000), (2, 400), (5, 400), (14, 400), (16, 200), (28, 40), (64, 16)])
def test_equals_a_loop_over_the_images(backend: Any, grid: int, count: int) -> None:
    heatmaps = planted_heatmaps(count, grid, seed=grid)
    counts = np.random.default_rng(1).integers(1, grid**2 + 1, count)
    counts[:4] = 1, grid**2, 1, grid**2
    np.testing.assert_array_equal(chosen(backend, heatmaps, counts), one_by_one(heatmaps, counts))


def test_the_loop_by_hand() -> None:
    """The loop itself, on a map that can be checked by eye."""
    nan, inf = np.nan, np.inf
    heatmap = np.array([[[nan, 3, -inf], [3, inf, 0], [-0.0, nan, 5]]], np.float32)
    orders = [4, 8, 1, 3, 5, 6, 2, 0, 7]  # ∞, 5, the 3s from left to right, 0 and −0, −∞, NaN
    for count in range(1, 10):
        assert np.flatnonzero(one_by_one(heatmap, np.array([count]))).tolist() == sorted(orders[:count])


@pytest.mark.parametrize("backend", ["host"], indirect=True)
@pytest.mark.parametrize("order", ORDERS)
def test_in_any_order_of_the_threads(backend: Any, order: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing barrier would let a cell count keys, or the first thread pixels, that are not there yet."""
    monkeypatch.setattr(HostKernel, "order", order)
    for grid in (7, 20):
        heatmaps = planted_heatmaps(16, grid, seed=3)
        counts = np.arange(1, 17)
        np.testing.assert_array_equal(chosen(backend, heatmaps, counts), one_by_one(heatmaps, counts))
