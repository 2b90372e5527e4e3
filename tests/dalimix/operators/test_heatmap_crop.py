"""heatmap_crop: stored heatmaps, cut to crop windows and brought to a grid by RoIAlign."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dalimix.cpu
from dalimix.heatmap_crop import heatmap_crop
from tests.support.host import ORDERS, HostKernel

DTYPES = ("uint8", "float16", "float32")
SHAPES = [((14, 14), 14), ((14, 14), 7), ((5, 9), 14), ((20, 6), 3), ((1, 1), 2), ((1, 3), 1), ((3, 2), 20)]
LEAST = np.finfo(np.float32).smallest_normal
WHOLE = (0.0, 0.0, 1.0, 1.0)

# (top, left, height, width)
WINDOWS = [
    WHOLE,
    (0.0, 0.0, 0.25, 0.7),  # touching the corners
    (0.75, 0.3, 0.25, 0.7),
    (-0.3, 0.2, 0.7, 0.5),  # crossing each border, and all of them
    (0.6, -0.2, 0.6, 0.5),
    (0.1, 0.8, 0.5, 0.9),
    (-0.5, -0.4, 2.1, 1.7),
    (0.4, 0.61, 0.001, 0.002),  # below one cell, inside and at the end
    (0.9999, 0.9999, 0.0001, 0.0001),
    (0.0, 0.99, 1.0, 0.01),  # thin
    (-3.0, 0.0, 1.0, 1.0),  # outside, above and to the right
    (0.0, 2.5, 0.5, 0.5),
]


def some_maps(dtype: str, shape: tuple[int, int], count: int = 5) -> np.ndarray:
    values = np.random.default_rng(0).random((count, *shape))
    return (values * 256 if dtype == "uint8" else values).astype(dtype)


def some_boxes(count: int) -> np.ndarray:
    """Those of WINDOWS, then random ones inside of the image."""
    rng = np.random.default_rng(1)
    side = rng.uniform(0.05, 1, (count, 2))
    return np.concatenate([WINDOWS, np.concatenate([rng.uniform(0, 1 - side), side], axis=1)])


def crop_one(backend: Any, heatmap: Any, box: tuple[float, ...], grid: int, dtype: str = "float32") -> np.ndarray:
    return backend.heatmap_crop(np.array([heatmap], dtype), np.zeros(1, np.int32), np.array([box], np.float64), grid)[0]


def points(start: float, extent: float, cells: int, grid: int, cell: int) -> list[float]:
    """RoIAlign's sample points of one cell along one axis."""
    width = max(extent * cells, 1.0) / grid
    count = math.ceil(round(width, 5))
    return [start * cells - 0.5 + cell * width + (k + 0.5) * width / count for k in range(count)]


def bilinear(heatmap: np.ndarray, y: float, x: float) -> float:
    height, width = heatmap.shape
    if y < -1 or y > height or x < -1 or x > width:
        return 0.0
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = min(int(y), max(height - 2, 0)), min(int(x), max(width - 2, 0))
    upper, lower = heatmap[top], heatmap[min(top + 1, height - 1)]
    right = min(left + 1, width - 1)
    above = upper[left] * (1 - (x - left)) + upper[right] * (x - left)
    below = lower[left] * (1 - (x - left)) + lower[right] * (x - left)
    return float(above * (1 - (y - top)) + below * (y - top))


def by_hand(heatmap: np.ndarray, box: Sequence[float] | np.ndarray, grid: int) -> np.ndarray:
    """Cell by cell and sample by sample."""
    heatmap = heatmap / 255 if heatmap.dtype == np.uint8 else heatmap.astype(np.float64)
    output = np.zeros((grid, grid))
    for r, c in np.ndindex(grid, grid):
        ys = points(box[0], box[2], heatmap.shape[0], grid, r)
        xs = points(box[1], box[3], heatmap.shape[1], grid, c)
        output[r, c] = np.mean([bilinear(heatmap, y, x) for y in ys for x in xs])
    return output


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "grid"), SHAPES, ids=str)
def test_every_cell_by_hand(backend: Any, dtype: str, shape: tuple[int, int], grid: int) -> None:
    maps, boxes = some_maps(dtype, shape), some_boxes(10)
    index = np.random.default_rng(2).integers(0, len(maps), len(boxes)).astype(np.int32)
    got = backend.heatmap_crop(maps, index, boxes, grid)
    assert got.dtype == np.float32
    expected = [by_hand(maps[n], box, grid) for n, box in zip(index, boxes, strict=True)]
    np.testing.assert_allclose(got, expected, rtol=1.2e-7, atol=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("grid", [1, 7, 14, 64])
def test_the_whole_image_on_its_own_grid_is_the_map(backend: Any, dtype: str, grid: int) -> None:
    maps = some_maps(dtype, (grid, grid))
    got = backend.heatmap_crop(maps, np.arange(5), np.array([WHOLE] * 5, np.float64), grid)
    np.testing.assert_array_equal(got, (maps / (255 if dtype == "uint8" else 1)).astype(np.float32))


@pytest.mark.parametrize(
    ("at", "expected"),
    [(-1.0, 1), (-1 - 1e-9, 0), (-0.5, 1), (0.25, 1.25), (1.5, 3), (2.75, 7), (3.6, 8), (4.0, 8), (4 + 1e-9, 0)],
)
def test_where_a_sample_may_be(backend: Any, at: float, expected: float) -> None:
    """One sample at `at`, in cells from the centre of the first of four; along each of the axes."""
    heatmap = np.repeat([[1], [2], [4], [8]], 4, axis=1)
    assert crop_one(backend, heatmap, (at / 4, 0.25, 0.25, 0.25), 1) == expected
    assert crop_one(backend, heatmap.T, (0.25, at / 4, 0.25, 0.25), 1) == expected


def test_a_window_is_at_least_one_cell_and_grows_to_the_lower_right(backend: Any) -> None:
    ramp = np.add.outer(10 * np.arange(4), np.arange(4))
    got = crop_one(backend, ramp, (0.375, 0.25, 1e-6, 1e-6), 2)  # from (1.0, 0.5), to (2.0, 1.5)
    np.testing.assert_allclose(got, [[13.25, 13.75], [18.25, 18.75]], rtol=1e-6)


@pytest.mark.parametrize("grid", [1, 4, 7, 14])
def test_a_linear_map_keeps_its_values_at_the_centres(backend: Any, grid: int) -> None:
    height, width = 14, 9
    ramp = 0.5 * np.arange(height)[:, None] - 0.25 * np.arange(width) + 3
    boxes = some_boxes(200)[len(WINDOWS) :] * 8 / 9 + (1 / 18, 1 / 18, 0, 0)  # inside of the centres of the outer cells
    boxes = boxes[(boxes[:, 2:] * (height, width) >= 1).all(axis=1)]
    assert len(boxes) > 100
    got = backend.heatmap_crop(np.array([ramp], np.float32), np.zeros(len(boxes), np.int64), boxes, grid)
    y, x = (boxes[:, :2, None] + boxes[:, 2:, None] * (np.arange(grid) + 0.5) / grid).transpose(1, 0, 2)
    expected = 0.5 * (y * height - 0.5)[:, :, None] - 0.25 * (x * width - 0.5)[:, None] + 3
    np.testing.assert_allclose(got, expected, atol=1e-5)


@pytest.mark.parametrize(("cells", "grid"), [(25, 14), (25, 1), (29, 5), (35, 29), (38, 7), (12, 4), (7, 3)])
def test_a_rounding_takes_no_sample_more(backend: Any, cells: int, grid: int) -> None:
    """For windows of whole pixels: as many samples as the exact quotient says."""
    sizes = {size: range(1, size + 1, 1 + size // 50) for size in (25, 29, 35, 38, 75, 225)}
    windows = [(n, size) for size, ns in sizes.items() for n in ns] + [(12859, 30004)]  # 1 + 1e-5 cells for 7 to 3
    column = np.random.default_rng(0).random(cells).astype(np.float32)
    boxes = np.array([(1 - n / size, 0, n / size, 1) for n, size in windows], np.float64)
    got = backend.heatmap_crop(column[None, :, None], np.zeros(len(boxes), np.int32), boxes, grid)[:, :, 0]
    for row, (n, size) in zip(got, windows, strict=True):
        length = max(Fraction(n * cells, size), Fraction(1))
        count = math.ceil(length / grid) * grid  # of the window
        start = Fraction((size - n) * cells, size) - Fraction(1, 2)
        places = float(start) + (np.arange(count) + 0.5) * float(length / count)
        values = np.interp(places, np.arange(cells), column) * (places <= cells)
        np.testing.assert_allclose(row, values.reshape(grid, -1).mean(axis=1), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "grid"), SHAPES, ids=str)
def test_all_backends_give_the_same_bits(backend: Any, dtype: str, shape: tuple[int, int], grid: int) -> None:
    """Also where NaN, infinities and huge numbers meet."""
    rng, boxes = np.random.default_rng(3), some_boxes(100)
    maps = some_maps(dtype, shape, count=64)
    if dtype != "uint8":
        top = 4 if dtype == "float16" else 30
        with np.errstate(over="ignore"):
            maps = (maps * 10.0 ** rng.integers(-top, top, (64, 1, 1)) * rng.choice([-1, 1], maps.shape)).astype(dtype)
        info = np.finfo(dtype)
        for value in (np.nan, np.inf, -np.inf, info.max, info.smallest_subnormal):
            maps[32:][rng.random(maps[32:].shape) < 0.03] = value
    index = rng.integers(0, 64, len(boxes))
    got = backend.heatmap_crop(maps, index, boxes, grid)
    np.testing.assert_array_equal(got, dalimix.cpu.heatmap_crop(maps, index, boxes, grid))


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_what_has_no_share_does_not_matter(backend: Any, dtype: str) -> None:
    for bad in (np.nan, np.inf, -np.inf):
        heatmap = np.full((5, 7), bad)
        heatmap[1:3, 2:5] = 1, 2, 3
        inner = (1 / 5, 2 / 7, 2 / 5, 3 / 7)
        np.testing.assert_allclose(crop_one(backend, heatmap, inner, 1, dtype), 2)
        np.testing.assert_array_equal(crop_one(backend, heatmap, (1.5, 0, 1, 1), 3, dtype), 0)
        square = np.where(np.add.outer(np.arange(6), np.arange(6)) % 2, bad, 0.5).astype(dtype)
        np.testing.assert_array_equal(crop_one(backend, square, WHOLE, 6, dtype), square)


def test_what_has_a_share_does(backend: Any) -> None:
    heatmap = np.ones((4, 4))
    heatmap[1, 1], heatmap[3, 3] = np.nan, np.inf
    np.testing.assert_array_equal(crop_one(backend, heatmap, WHOLE, 2), [[np.nan, 1], [1, np.inf]])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["int32", "int64"])
def test_each_sample_has_the_map_of_its_index(backend: Any, kind: str, dtype: str) -> None:
    maps = np.broadcast_to(np.arange(200)[:, None, None], (200, 3, 5)).astype(dtype)
    index = np.array([7, 199, 0, 7, 3, 199, 42, 7], kind)
    got = backend.heatmap_crop(maps, index, np.array([(0.1, 0.2, 0.5, 0.6)] * 8, np.float64), 4)
    expected = np.broadcast_to(index[:, None, None] / (255 if dtype == "uint8" else 1), (8, 4, 4))
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_the_margin_outside_of_the_image_is_0(backend: Any) -> None:
    got = crop_one(backend, np.ones((6, 6)), (-1.0, -2.0, 3.0, 4.0), 12)
    down = [0, 0, 0, 0.5, 1, 1, 1, 1, 0.5, 0, 0, 0]  # two samples in each: at −1.625 and −0.875; at 5.875 and 6.625
    across = [0, 0, 0, 0, 0, 0.5, 1, 1, 1, 0.5, 0, 0]  # at −2 and −1; at 6 and 7
    np.testing.assert_array_equal(got, np.outer(down, across))


def test_subnormal_numbers_count_as_0(backend: Any) -> None:
    """As they come in, and as they would go out: a GPU would flush them at either place."""
    coming = np.array([[2 * LEAST, 2 * LEAST], [LEAST / 2, -LEAST / 4]], np.float32)
    going = np.array([[LEAST, LEAST], [LEAST, 0]], np.float32)
    got = crop_one(backend, np.block([[coming, going], [going, coming]]), WHOLE, 2)
    np.testing.assert_array_equal(got, [[LEAST, 0], [0, LEAST]])
    assert crop_one(backend, [[2.0**-24]], WHOLE, 1, "float16") == 2.0**-24  # no subnormal number any more


def test_huge_maps_do_not_overflow_before_the_mean(backend: Any) -> None:
    most = np.finfo(np.float32).max
    assert crop_one(backend, np.full((4, 4), most), WHOLE, 1) == most


@pytest.mark.parametrize("n", [-1, 5, 2**31 - 1, -(2**31), 2**32, 2**32 + 1, -(2**63)])
def test_an_index_outside_of_the_maps(backend: Any, n: int) -> None:
    index = np.array([1, n, 2], np.int32 if abs(n) <= 2**31 and n != 2**31 else np.int64)
    check_second_refused(backend, index, np.array([WHOLE] * 3, np.float64), f"index {n} of sample 1 is outside 0 .. 4")


BAD_BOXES: list[tuple[float, ...]] = [
    (0, 0, 0, 1),
    (0, 0, 1, 0),
    (0, 0, -1, 1),
    (0, 0, 1, -0.5),
    (10.001, 0, 1, 1),
    (0, -10.001, 1, 1),
]
BAD_BOXES += [(0, 0, 1, 10.001), (0, 0, 10.001, 1), (0, 0, 1e300, 1), (-1e300, 0, 1, 1)]
BAD_BOXES += [tuple(bad if k == n else 0.5 for k in range(4)) for n in range(4) for bad in (np.nan, np.inf, -np.inf)]


@pytest.mark.parametrize("box", BAD_BOXES, ids=str)
def test_a_box_that_is_none(backend: Any, box: tuple[float, ...]) -> None:
    check_second_refused(
        backend, np.arange(3), np.array([WHOLE, box, WHOLE], np.float64), "box of sample 1 must be (top, left,"
    )


def check_second_refused(backend: Any, index: np.ndarray, boxes: np.ndarray, message: str) -> None:
    """An error on the CPU, NaN on a GPU; the others are what they are."""
    maps = some_maps("uint8", (4, 6))
    if backend.name == "cpu":
        with pytest.raises(ValueError, match=re.escape(message)):
            backend.heatmap_crop(maps, index, boxes, 4)
        return
    got = backend.heatmap_crop(maps, index, boxes, 4)
    assert np.isnan(got[1]).all()
    rest = dalimix.cpu.heatmap_crop(maps, index[[0, 2]], boxes[[0, 2]], 4)
    np.testing.assert_array_equal(got[[0, 2]], rest)


def test_the_largest_box(backend: Any) -> None:
    heatmap, box = some_maps("float32", (3, 4))[0], (-4.5, -10.0, 10.0, 10.0)
    np.testing.assert_allclose(crop_one(backend, heatmap, box, 2), by_hand(heatmap, box, 2), rtol=1.2e-7)


MAPS, INDEX, BOXES = some_maps("uint8", (4, 6)), np.arange(3), np.array([WHOLE] * 3, np.float64)
BAD_INPUT: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"maps": MAPS.tolist()}, TypeError, "maps must be a NumPy or CuPy array, got a list"),
    ({"maps": MAPS.astype("float64")}, TypeError, "maps must be uint8 or float16 or float32, got float64"),
    ({"maps": MAPS.astype(">f4")}, TypeError, "maps must be uint8 or float16 or float32, got >f4"),
    ({"maps": MAPS[0]}, ValueError, "maps must be [N, gh, gw] and not empty, got [4, 6]"),
    ({"maps": MAPS[:0]}, ValueError, "maps must be [N, gh, gw] and not empty, got [0, 4, 6]"),
    ({"maps": MAPS[:, :, ::2]}, ValueError, "maps must be contiguous, got strides (24, 6, 2)"),
    ({"index": INDEX.astype("uint8")}, TypeError, "index must be int32 or int64, got uint8"),
    ({"index": INDEX[:, None]}, ValueError, "index must be [B] and not empty, got [3, 1]"),
    ({"index": np.arange(6)[::2]}, ValueError, "index must be contiguous, got strides (16,)"),
    ({"boxes": np.float32(BOXES)}, TypeError, "boxes must be float64, got float32"),
    ({"boxes": BOXES[:, :3]}, ValueError, "boxes must be [B, 4] and not empty, got [3, 3]"),
    ({"boxes": BOXES[:2]}, ValueError, "boxes has 2 entries but index has 3"),
    ({"boxes": BOXES[:, ::-1]}, ValueError, "boxes must be contiguous, got strides (32, -8)"),
    ({"grid": 0}, ValueError, "grid must be a whole number from 1 to 64, got 0"),
    ({"grid": 65}, ValueError, "grid must be a whole number from 1 to 64, got 65"),
    ({"grid": 7.0}, ValueError, "grid must be a whole number from 1 to 64, got 7.0"),
]


@pytest.mark.parametrize(("given", "error", "message"), BAD_INPUT, ids=[message for *_, message in BAD_INPUT])
def test_bad_input(given: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        heatmap_crop(**{"maps": MAPS, "index": INDEX, "boxes": BOXES, "grid": 7} | given)  # type: ignore[arg-type]


def test_a_memory_mapped_store(tmp_path: Path) -> None:
    np.save(tmp_path / "maps.npy", MAPS)
    stored = np.load(tmp_path / "maps.npy", mmap_mode="r")
    got = heatmap_crop(stored, INDEX, BOXES, np.int64(5))
    assert type(got) is np.ndarray
    np.testing.assert_array_equal(got, heatmap_crop(MAPS, INDEX, BOXES, 5))


@pytest.mark.parametrize("backend", ["host"], indirect=True)
@pytest.mark.parametrize("order", ORDERS)
def test_in_any_order_of_the_threads(backend: Any, order: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also with more cells than a block has threads."""
    monkeypatch.setattr(HostKernel, "order", order)
    maps, boxes = some_maps("float32", (9, 5)), some_boxes(10)
    index = np.arange(len(boxes)) % 5
    for grid in (3, 20):
        got = backend.heatmap_crop(maps, index, boxes, grid)
        np.testing.assert_array_equal(got, dalimix.cpu.heatmap_crop(maps, index, boxes, grid))
