"""The loops of kernels/resample_heatmaps.cu for the CPU."""

from __future__ import annotations

import numpy as np

from dalimix.cpu.parts.subnormals import normal
from dalimix.resampling import axis_weights


def resample_heatmaps(heatmaps: np.ndarray, grid: int) -> np.ndarray:
    """Resample float32 [B, h, w] to [B, grid, grid], in float64 and in the order of the kernel."""
    if heatmaps.shape[1:] == (grid, grid):
        return heatmaps
    _, height, width = heatmaps.shape
    with np.errstate(invalid="ignore", over="ignore"):  # infinities may meet, as on the GPU
        values = normal(heatmaps.astype(np.float64))
        along = _weighted(values.transpose(2, 0, 1), axis_weights(width, grid))  # [grid, B, h]
        sums = _weighted(along.transpose(2, 1, 0), axis_weights(height, grid))  # [grid, B, grid]
        return np.ascontiguousarray(normal(sums).transpose(1, 0, 2), np.float32)


def _weighted(lines: np.ndarray, weights: tuple[tuple[float, ...], ...]) -> np.ndarray:
    """Float64 [new, …]: sums of `lines`, [old, …], added one after another; lines without a share are not read."""
    output = np.zeros((len(weights), *lines.shape[1:]))
    for target, shares in zip(output, weights, strict=True):
        for line, share in zip(lines, shares, strict=True):
            if share:
                target += share * line
    return output
