"""The loops of kernels/include/top_patches.cuh for the CPU.

Where each thread of the kernel counts how many cells come before its own, here the lowest of the highest is found.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dalimix.cpu.compiled import inlined
from dalimix.cpu.parts.highest import choose_highest
from dalimix.cpu.parts.ordered import ordered_float32


class Patches(NamedTuple):
    """The memory in which patches are chosen."""

    mask: np.ndarray  # uint8 [g, g], the result: 1 for the cells that are chosen
    chosen: np.ndarray  # uint8 [g * g], the same memory, flattened
    keys: np.ndarray  # uint32 [g * g]

    @classmethod
    def empty(cls, grid: int) -> Patches:
        """Make memory for a grid."""
        mask = np.empty((grid, grid), np.uint8)
        return cls(mask, mask.reshape(-1), np.empty(grid * grid, np.uint32))


@inlined
def top_patches(heatmap: np.ndarray, flip: int, count: int, patches: Patches) -> None:
    """Choose the `count` cells with the highest heatmap, as it looks after mirroring; ties go to the lower index.

    Args:
        heatmap: float32 [g, g]; NaN is ranked last.
        flip: whether it is mirrored.
        count: up to g * g.
        patches: written.
    """
    grid = len(heatmap)
    for r in range(grid):
        for c in range(grid):
            patches.keys[r * grid + c] = ordered_float32(heatmap[r, grid - 1 - c if flip else c])
    choose_highest(patches.keys, count, patches.chosen)
