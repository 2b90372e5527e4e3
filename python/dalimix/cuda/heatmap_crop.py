"""Launches kernels/heatmap_crop.cu."""

from __future__ import annotations

import numpy as np

from dalimix.arrays import Array, array_module
from dalimix.cuda import loader
from dalimix.cuda.compose import TYPES

THREADS = 256  # at most: one for each cell, in whole warps
INDEX_TYPES = {np.dtype("int32"): "int", np.dtype("int64"): "long long"}


def heatmap_crop(maps: Array, index: Array, boxes: Array, grid: int) -> Array:
    """Float32 [B, grid, grid]; see `dalimix.heatmap_crop`."""
    output = array_module(maps).empty((len(index), grid, grid), "float32")
    kernel = loader.load_kernel("heatmap_crop", IN=TYPES[maps.dtype], INDEX=INDEX_TYPES[index.dtype])
    numbers = (np.int32(n) for n in (*maps.shape, grid))
    threads = min(THREADS, (grid * grid + 31) // 32 * 32)
    kernel((len(index),), (threads,), (maps, index, boxes, *numbers, output))
    return output
