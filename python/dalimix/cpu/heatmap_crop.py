"""The loops of kernels/heatmap_crop.cu for the CPU."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dalimix.cpu.parts.subnormals import normal

FARTHEST = 10.0  # reach of a box, in images: each output cell takes as many samples as it covers cells of the map


@dataclass(frozen=True, eq=False)
class _Line:
    """The samples of every output cell along one axis: the middles of `count` equal parts of its bin."""

    start: np.ndarray  # float64 [B, grid], in cells of the map; the centre of its cell 0 is 0
    bin: np.ndarray  # float64 [B, 1]
    count: np.ndarray  # int64 [B, 1] samples
    cells: int  # of the map


def heatmap_crop(maps: np.ndarray, index: np.ndarray, boxes: np.ndarray, grid: int) -> np.ndarray:
    """Float32 [B, grid, grid], in float64 and in the order of the kernel; see `dalimix.heatmap_crop`."""
    _check_index(index, len(maps))
    _check_boxes(boxes)
    rows, columns = (_line(boxes[:, [axis]], boxes[:, [axis + 2]], maps.shape[axis + 1], grid) for axis in (0, 1))
    with np.errstate(invalid="ignore", over="ignore"):  # infinities may meet, as on the GPU
        values = normal(maps[index].astype(np.float64))
        along = _sums(values.transpose(0, 2, 1), columns)  # [B, grid, gh]
        sums = _sums(along.transpose(0, 2, 1), rows)
        unit = 255.0 if maps.dtype == np.uint8 else 1.0
        return normal(sums / (rows.count * columns.count * unit)[:, :, None]).astype(np.float32)


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


def _line(start: np.ndarray, extent: np.ndarray, cells: int, grid: int) -> _Line:
    """The samples along one axis of boxes that begin at `start`, float64 [B, 1] in images."""
    size = np.maximum(extent * cells, 1.0) / grid
    # Shares of an image are quotients: 14 / 25 * 25 / 14 is a little more than 1, but must not take two samples.
    count = np.maximum(1, np.ceil(size - 1e-6).astype(np.int64))
    return _Line(start * cells - 0.5 + np.arange(grid) * size, size, count, cells)


def _sums(lines: np.ndarray, line: _Line) -> np.ndarray:
    """Float64 [B, grid, …]: the sum of every cell's samples of `lines`, [B, cells, …], added one after another."""
    sample = np.arange(len(lines))[:, None]
    sums = np.zeros((*line.start.shape, *lines.shape[2:]))
    for k in range(line.count.max()):
        for cell, share in _taps(line, k):
            term = share[:, :, None] * lines[sample, cell]
            sums += np.where(share[:, :, None] != 0, term, 0.0)  # without a share, even NaN must not matter
    return sums


def _taps(line: _Line, k: int) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """The two cells, int64 [B, grid], between which sample k lies, each with its share, float64 [B, grid]."""
    at = line.start + (k + 0.5) * line.bin / line.count
    taken = (k < line.count) & (at >= -1) & (at <= line.cells)
    at, last = np.clip(at, 0, line.cells), line.cells - 1
    low = np.minimum(at.astype(np.int64), last)
    beyond = np.where(low == last, 0.0, at - low)
    return (low, np.where(taken, 1 - beyond, 0)), (np.minimum(low + 1, last), np.where(taken, beyond, 0))
