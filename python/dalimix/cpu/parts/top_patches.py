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
    lowest, reach = _lowest_of_highest(keys, count)
    for k in range(len(keys)):
        chosen[k] = keys[k] >= lowest
    k = len(keys)
    while reach > count:  # the last of the ties are too many
        k -= 1
        if keys[k] == lowest:
            chosen[k] = 0
            reach -= 1


@compiled
def _lowest_of_highest(keys: np.ndarray, count: int) -> tuple[int, int]:
    """Return a number that `count` keys reach, or more if some are equal, and how many that are.

    It is found bit by bit, from the highest.
    """
    lowest, reached = np.uint32(0), len(keys)
    for bit in range(31, -1, -1):
        tried = np.uint32(lowest | (np.uint32(1) << np.uint32(bit)))
        reach = np.uint32(0)
        for k in range(len(keys)):
            reach += np.uint32(keys[k] >= tried)
        if reach >= count:
            lowest, reached = tried, reach
        if reach == count:
            break
    return lowest, reached
