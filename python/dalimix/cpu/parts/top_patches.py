"""The loop of kernels/include/top_patches.cuh for the CPU.

Where each thread of the kernel counts how many cells come before its own, `choose_highest` of token_mask.py finds the
lowest of the highest here.
"""

from __future__ import annotations

import numpy as np

from dalimix.cpu.compiled import compiled
from dalimix.cpu.parts.ordered import ordered_float32


@compiled
def load_keys(heatmap: np.ndarray, flip: int, keys: np.ndarray) -> None:
    """Write the keys, uint32 [g * g], of one heatmap, float32 [g, g], as it looks after mirroring."""
    grid = len(heatmap)
    for r in range(grid):
        for c in range(grid):
            keys[r * grid + c] = ordered_float32(heatmap[r, grid - 1 - c if flip else c])
