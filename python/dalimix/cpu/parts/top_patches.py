"""The loop of kernels/include/top_patches.cuh for the CPU."""

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


@compiled
def choose_highest(keys: np.ndarray, count: int, chosen: np.ndarray) -> None:
    """Write 1 for the `count` highest keys and 0 for the others; ties go to the lower index.

    Args:
        keys: uint32 [n].
        count: up to n.
        chosen: uint8 [n].
    """
    lowest = _lowest_of_highest(keys, count)
    ties_left = count
    for k in range(len(keys)):
        ties_left -= keys[k] > lowest
    for k in range(len(keys)):
        tied = keys[k] == lowest and ties_left > 0
        ties_left -= tied
        chosen[k] = keys[k] > lowest or tied


@compiled
def _lowest_of_highest(keys: np.ndarray, count: int) -> int:
    """Return the greatest number that `count` of the keys reach, found bit by bit from the highest."""
    lowest = np.uint32(0)
    for bit in range(31, -1, -1):
        tried = np.uint32(lowest | (np.uint32(1) << np.uint32(bit)))
        reach = np.uint32(0)
        for k in range(len(keys)):
            reach += np.uint32(keys[k] >= tried)
        if reach >= count:
            lowest = tried
    return lowest
