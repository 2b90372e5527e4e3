"""Launches kernels/resample_heatmaps.cu."""

from __future__ import annotations

from itertools import chain

import numpy as np

from dalimix.backend import Array, array_module
from dalimix.cuda import loader
from dalimix.cuda.constants import constant
from dalimix.resampling import axis_weights

THREADS = 128


def resample_heatmaps(heatmaps: Array, grid: int) -> Array:
    """Float32 [B, h, w] brought to [B, grid, grid]."""
    size, *old = heatmaps.shape
    if old == [grid, grid]:
        return heatmaps
    xp = array_module(heatmaps)
    output = xp.empty((size, grid, grid), "float32")
    weights = (constant(xp, tuple(chain(*axis_weights(n, grid))), "float64") for n in old)
    numbers = [np.int32(n) for n in (size, *old, grid)]
    blocks = (output.size + THREADS - 1) // THREADS
    loader.load_kernel("resample_heatmaps")((blocks,), (THREADS,), (heatmaps, *weights, *numbers, output))
    return output
