"""The loops of kernels/include/top_patches.cuh for the CPU."""

from __future__ import annotations

import numpy as np

from dalimix.cpu.parts.ordered import ordered


def top_patches(heatmaps: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Uint8 [B, g, g]: 1 in the `count`, int [B], highest cells; ties go to the lower index, NaN is ranked last."""
    chosen = highest(ordered(heatmaps.reshape(len(heatmaps), -1)), count)
    return chosen.astype(np.uint8).reshape(heatmaps.shape)


def highest(keys: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Bool [B, n]: the `count`, int [B], highest of keys uint32 [B, n]; ties go to the lower index."""
    missing = keys.shape[1] - count[:, None]
    lowest = np.take_along_axis(np.sort(keys, axis=1), np.minimum(missing, keys.shape[1] - 1), axis=1)  # of the chosen
    above, ties = keys > lowest, keys == lowest
    left = count[:, None] - above.sum(axis=1, keepdims=True)
    chosen: np.ndarray = (above | (ties & (np.cumsum(ties, axis=1) <= left))) & (count[:, None] > 0)
    return chosen
