"""The loop of kernels/resample_heatmaps.cu for the CPU."""

from __future__ import annotations

from functools import cache

import numpy as np

from dalimix.cpu.compiled import inlined, without_gil
from dalimix.cpu.parts.subnormals import normal
from dalimix.cpu.planner import ready
from dalimix.resampling import axis_weights
from dalimix.support.switch_interval import soon_back


def resample_heatmaps(heatmaps: np.ndarray, grid: int) -> np.ndarray:
    """Resample float32 [B, h, w] to [B, grid, grid], in float64 and in the order of the kernel."""
    size, height, width = heatmaps.shape
    if (height, width) == (grid, grid):
        return heatmaps
    output = np.empty((size, grid, grid), np.float32)
    shares = _shares(height, grid), _shares(width, grid)
    soon_back(_resample, ready(heatmaps), *shares, np.empty((height, grid)), output)
    return output


@cache
def _shares(old: int, new: int) -> np.ndarray:
    return np.array(axis_weights(old, new))


@without_gil
def _resample(
    heatmaps: np.ndarray,  # float32 [B, h, w]
    rows: np.ndarray,  # float64 [g, h] shares of the old rows
    columns: np.ndarray,  # float64 [g, w] and columns
    along: np.ndarray,  # float64 [h, g], overwritten
    output: np.ndarray,  # float32 [B, g, g]
) -> None:
    for i in range(len(heatmaps)):
        for y in range(along.shape[0]):
            for c in range(along.shape[1]):
                along[y, c] = _weighted_row(heatmaps[i, y], columns[c])
        for r in range(len(rows)):
            for c in range(len(columns)):
                output[i, r, c] = _weighted_column(along, c, rows[r])


@inlined
def _weighted_row(values: np.ndarray, shares: np.ndarray) -> float:
    """Return the sum of the values by their shares; what has no share must not matter, not even infinity or NaN."""
    total = 0.0
    for k in range(len(shares)):
        if shares[k] != 0:
            total += shares[k] * normal(np.float64(values[k]))
    return total


@inlined
def _weighted_column(along: np.ndarray, column: int, shares: np.ndarray) -> float:
    total = 0.0
    for k in range(len(shares)):
        if shares[k] != 0:
            total += shares[k] * along[k, column]
    return np.float32(normal(total))
