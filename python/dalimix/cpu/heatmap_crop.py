"""The loops of kernels/heatmap_crop.cu for the CPU."""

from __future__ import annotations

import numpy as np

from dalimix.cpu.compiled import inlined, without_gil
from dalimix.cpu.parts.dtype import bits, to_float
from dalimix.cpu.parts.subnormals import normal
from dalimix.cpu.planner import ready
from dalimix.support.switch_interval import soon_back

FARTHEST = 10.0  # reach of a box, in images: each output cell takes as many samples as it covers cells of the map

Line = tuple[float, float, int, int]  # start and bin, in cells of the map; samples; cells of the map


def heatmap_crop(maps: np.ndarray, index: np.ndarray, boxes: np.ndarray, grid: int) -> np.ndarray:
    """Float32 [B, grid, grid], in float64 and in the order of the kernel; see `dalimix.heatmap_crop`."""
    _check_index(index, len(maps))
    _check_boxes(boxes)
    output = np.empty((len(index), grid, grid), np.float32)
    unit = 255.0 if maps.dtype == np.uint8 else 1.0
    numbers = ready(bits(maps)), ready(index.astype(np.int64)), ready(boxes)
    soon_back(_heatmap_crop, *numbers, unit, np.empty((grid, maps.shape[1])), output)
    return output


def _check_index(index: np.ndarray, count: int) -> None:
    bad = np.flatnonzero((index < 0) | (index >= count))
    if len(bad):
        raise ValueError(f"index {index[bad[0]]} of sample {bad[0]} is outside 0 .. {count - 1}")


def _check_boxes(boxes: np.ndarray) -> None:
    """Check the boxes; NaN is refused as well."""
    near, extent = np.abs(boxes[:, :2]) <= FARTHEST, boxes[:, 2:]
    bad = np.flatnonzero(~(near & (extent > 0) & (extent <= FARTHEST)).all(axis=1))
    if len(bad):
        expected = f"(top, left, height, width), height and width above 0, in images and none beyond {FARTHEST:g}"
        raise ValueError(f"box of sample {bad[0]} must be {expected}, got {tuple(boxes[bad[0]].tolist())}")


@without_gil
def _heatmap_crop(
    maps: np.ndarray,  # [N, gh, gw], floats or bytes
    index: np.ndarray,  # int64 [B]
    boxes: np.ndarray,  # float64 [B, 4] top, left, height, width
    unit: float,  # what counts as 1
    along: np.ndarray,  # float64 [g, gh], overwritten
    output: np.ndarray,  # float32 [B, g, g]
) -> None:
    _, down, across = maps.shape
    grid = output.shape[1]
    for i in range(len(output)):
        top, left, height, width = boxes[i, 0], boxes[i, 1], boxes[i, 2], boxes[i, 3]
        for c in range(grid):
            for y in range(down):
                along[c, y] = _along(maps[index[i], y], _line(left, width, across, grid, c))
        for r in range(grid):
            rows = _line(top, height, down, grid, r)
            for c in range(grid):
                samples = np.float64(rows[2]) * _line(left, width, across, grid, c)[2] * unit
                output[i, r, c] = np.float32(normal(_sum(along[c], rows) / samples))


@inlined
def _line(start: float, extent: float, cells: int, grid: int, cell: int) -> Line:
    """Return the samples of one cell of the output along one axis: the middles of equal parts of its bin."""
    size = max(extent * cells, 1.0) / grid
    # Shares of an image are quotients: 14 / 25 * 25 / 14 is a little more than 1, but must not take two samples.
    count = max(1, int(np.ceil(size - 1e-6)))
    return start * cells - 0.5 + cell * size, size, count, cells


@inlined
def _tap(line: Line, k: int) -> tuple[int, int, float, float]:
    """Return the two cells between which sample k lies, and their shares in it."""
    start, size, count, cells = line
    at = start + (k + 0.5) * size / count
    if at < -1.0 or at > cells:
        return 0, 0, 0.0, 0.0
    at, last = max(at, 0.0), cells - 1
    low = min(int(at), last)
    beyond = 0.0 if low == last else at - low
    return low, min(low + 1, last), 1.0 - beyond, beyond


@inlined
def _along(row: np.ndarray, line: Line) -> float:
    """Return the sum of the samples along one row of a map."""
    total = 0.0
    for k in range(line[2]):
        low, high, low_share, high_share = _tap(line, k)
        if low_share != 0:  # without a share, even NaN must not matter
            total += low_share * normal(np.float64(to_float(row[low])))
        if high_share != 0:
            total += high_share * normal(np.float64(to_float(row[high])))
    return total


@inlined
def _sum(along: np.ndarray, line: Line) -> float:
    """Return the sum of the samples down the rows' sums."""
    total = 0.0
    for k in range(line[2]):
        low, high, low_share, high_share = _tap(line, k)
        if low_share != 0:
            total += low_share * along[low]
        if high_share != 0:
            total += high_share * along[high]
    return total
