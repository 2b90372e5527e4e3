"""The loops of kernels/include/attention_region.cuh for the CPU."""

from __future__ import annotations

import numpy as np

from dalimix.cpu.compiled import inlined
from dalimix.cpu.parts.subnormals import normal

BLOCK = 16  # numbers that the compiled loops add in a step


@inlined
def attention_region(
    heatmap: np.ndarray,  # float32 [rows, columns]
    flip: int,
    side: int,
    highest: bool,
    values: np.ndarray,  # float64 [2, rows * columns + BLOCK], overwritten
) -> tuple[int, int]:
    """Return the first (row, column) of the window of side × side cells with the lowest or the highest sum.

    The heatmap is read as it looks after mirroring. Of equal windows the first one counts; a sum of NaN is ranked last.
    """
    rows, columns = heatmap.shape
    cells, sums = values[0], values[1]
    for r in range(rows):
        _load(cells[r * columns : (r + 1) * columns], heatmap[r], flip)
    _add_neighbours(cells, sums, rows * columns, side, 1)
    _add_neighbours(sums, cells, rows * columns, side, columns)
    return _best_window(cells, rows - side + 1, columns - side + 1, columns, highest)


@inlined
def _load(cells: np.ndarray, row: np.ndarray, flip: int) -> None:
    for c in range(len(row)):
        cells[c] = normal(np.float64(row[len(row) - 1 - c if flip else c]))


@inlined
def _add_neighbours(values: np.ndarray, sums: np.ndarray, cells: int, side: int, step: int) -> None:
    """Write the sums of `side` values, `step` apart, added one after another, two at a time.

    They are made everywhere at once, in whole blocks, which is fastest. Where a window would leave the heatmap, nobody
    reads them.
    """
    count = (cells - (side - 1) * step + BLOCK - 1) // BLOCK * BLOCK
    for at in range(count):
        sums[at] = values[at]
    for k in range(1, side - 1, 2):
        one, two = values[k * step : k * step + count], values[(k + 1) * step : (k + 1) * step + count]
        for at in range(count):
            sums[at] = sums[at] + one[at] + two[at]
    if side % 2 == 0:
        last = values[(side - 1) * step : (side - 1) * step + count]
        for at in range(count):
            sums[at] += last[at]


@inlined
def _best_window(sums: np.ndarray, down: int, across: int, columns: int, highest: bool) -> tuple[int, int]:
    best, row, column = -np.inf, 0, 0
    for y in range(down):
        most = _most(sums[y * columns : y * columns + across], highest)
        if most > best:
            best, row = most, y
    if best > -np.inf:
        while _rank(sums[row * columns + column], highest) != best:
            column += 1
    return row, column


@inlined
def _most(sums: np.ndarray, highest: bool) -> float:
    """Return the best of a row, without a branch that the processor would have to guess."""
    most = -np.inf
    for x in range(len(sums)):
        rank = _rank(sums[x], highest)
        most = rank if rank > most else most
    return most


@inlined
def _rank(total: float, highest: bool) -> float:
    return total if highest else -total
