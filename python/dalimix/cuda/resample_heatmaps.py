"""Launches kernels/resample_heatmaps.cu."""

from __future__ import annotations

from functools import cache
from itertools import chain
from types import ModuleType

import numpy as np

from dalimix.arrays import Array, array_module
from dalimix.cuda import loader
from dalimix.cuda.constants import constant, current_device
from dalimix.resampling import axis_weights

THREADS = 128


def resample_heatmaps(heatmaps: Array, grid: int) -> Array:
    """Resample float32 [B, h, w] to [B, grid, grid]."""
    size, *old = heatmaps.shape
    if old == [grid, grid]:
        return heatmaps
    xp = array_module(heatmaps)
    output = xp.empty((size, grid, grid), "float32")
    weights = (_weights(xp, n, grid, current_device(xp)) for n in old)
    numbers = [np.int32(n) for n in (size, *old, grid)]
    blocks = (output.size + THREADS - 1) // THREADS
    loader.load_kernel("resample_heatmaps")((blocks,), (THREADS,), (heatmaps, *weights, *numbers, output))
    return output


@cache  # by small numbers: a look-up by hundreds of values would take longer than the kernel
def _weights(xp: ModuleType, old: int, new: int, device: int) -> Array:
    """Float64 [new · old] on this device, which is the current one."""
    return constant(xp, tuple(chain(*axis_weights(old, new))), "float64")
