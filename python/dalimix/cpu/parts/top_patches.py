"""The loops of kernels/include/top_patches.cuh for the CPU."""

from __future__ import annotations

import numpy as np

from dalimix.cpu.compiled import compiled
from dalimix.cpu.parts.ordered import ordered_float32
from dalimix.cpu.parts.token_mask import choose_highest


@compiled
def load_keys(heatmap: np.ndarray, flip: int, keys: np.ndarray) -> None:
    """Write the keys, uint32 [g * g], of one heatmap, float32 [g, g], as it looks after mirroring."""
    grid = len(heatmap)
    for r in range(grid):
        for c in range(grid):
            keys[r * grid + c] = ordered_float32(heatmap[r, grid - 1 - c if flip else c])


@compiled
def top_patches(keys: np.ndarray, count: int, chosen: np.ndarray) -> None:
    """Write 1 for the `count` highest keys, uint32 [g * g], and 0 for the others, uint8 [g * g].

    Where each thread of the kernel counts how many cells come before its own, the lowest of the highest is found here.
    """
    choose_highest(keys, count, chosen)
