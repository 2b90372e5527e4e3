"""The loops of kernels/include/attention_region.cuh for the CPU."""

from __future__ import annotations

import numpy as np

from dalimix.cpu.parts.ordered import ordered
from dalimix.cpu.parts.subnormals import normal


def attention_region(heatmaps: np.ndarray, side: np.ndarray, highest: bool) -> np.ndarray:
    """Int32 [B, 2]: first row and column of the window with the lowest or the highest sum in each heatmap.

    Args:
        heatmaps: float32 [B, rows, columns].
        side: int32 [B], cells along each side of the window.
        highest: whether the highest sum is wanted. Of equal windows the first one counts; a sum of NaN is ranked last.
    """
    region = np.empty((len(heatmaps), 2), np.int32)
    for length in np.unique(side):
        own = side == length
        region[own] = _best_window(normal(heatmaps[own].astype(np.float64)), int(length), highest)
    return region


def _best_window(values: np.ndarray, side: int, highest: bool) -> np.ndarray:
    with np.errstate(invalid="ignore", over="ignore"):  # infinities may meet, as on the GPU
        sums = _sums_of_neighbours(_sums_of_neighbours(values, side).swapaxes(1, 2), side).swapaxes(1, 2)
    keys = ordered(sums if highest else -sums)
    first = keys.reshape(len(keys), -1).argmax(axis=1)
    return np.stack(np.unravel_index(first, keys.shape[1:]), axis=1)


def _sums_of_neighbours(lines: np.ndarray, side: int) -> np.ndarray:
    """The sums of every `side` neighbours along the last axis, added one after another."""
    count = lines.shape[-1] - side + 1
    sums: np.ndarray = lines[..., :count].copy()
    for k in range(1, side):
        sums += lines[..., k : k + count]
    return sums
