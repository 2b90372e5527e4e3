"""The loops of kernels/include/top_patches.cuh for the CPU.

Where each thread of the kernel counts how many cells come before its own, here the highest are taken one by one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dalimix.cpu.compiled import inlined
from dalimix.cpu.parts.ordered import ordered_float32
from dalimix.cpu.parts.token_mask import choose_highest

STRIDE = 32  # keys of which the highest is known; the compiler writes out what looks at so many
MANY = 16  # if one of so many cells or more is taken, all are looked at for each bit of the keys instead


class Patches(NamedTuple):
    """The memory in which patches are chosen."""

    keys: np.ndarray  # uint32 [g * g, and 0 up to a whole stride]
    highest: np.ndarray  # uint32 [strides]
    chosen: np.ndarray  # uint8 [g * g]
    cells: np.ndarray  # int64 [g * g], of which the first are the result

    @classmethod
    def empty(cls, grid: int) -> Patches:
        """Make memory for a grid."""
        cells = grid * grid
        strides = -(-cells // STRIDE)
        keys, highest = np.zeros(strides * STRIDE, np.uint32), np.empty(strides, np.uint32)
        return cls(keys, highest, np.empty(cells, np.uint8), np.empty(cells, np.int64))


@inlined
def load_keys(heatmap: np.ndarray, flip: int, keys: np.ndarray) -> None:
    """Write the keys of one heatmap, float32 [g, g], as it looks after mirroring; NaN has the lowest, 1."""
    grid = len(heatmap)
    for r in range(grid):
        for c in range(grid):
            key = ordered_float32(heatmap[r, grid - 1 - c if flip else c])
            keys[r * grid + c] = max(key, np.uint32(1))


@inlined
def top_patches(patches: Patches, count: int) -> None:
    """Write the `count` cells with the highest keys; ties go to the lower index. The keys are overwritten."""
    keys, highest, chosen, cells = patches
    if count * MANY < len(chosen):
        _one_by_one(keys, highest, count, cells)
        return
    choose_highest(keys[: len(chosen)], count, chosen)
    found = 0
    for k in range(len(chosen)):
        if chosen[k]:
            cells[found] = k
            found += 1


@inlined
def _one_by_one(keys: np.ndarray, highest: np.ndarray, count: int, cells: np.ndarray) -> None:
    for stride in range(len(highest)):
        highest[stride] = _highest(keys, stride)
    for n in range(count):
        best = 0
        for stride in range(1, len(highest)):
            if highest[stride] > highest[best]:
                best = stride
        k = best * STRIDE
        while keys[k] != highest[best]:
            k += 1
        cells[n], keys[k] = k, 0
        highest[best] = _highest(keys, best)


@inlined
def _highest(keys: np.ndarray, stride: int) -> int:
    found = np.uint32(0)
    for k in range(stride * STRIDE, (stride + 1) * STRIDE):
        found = max(found, keys[k])
    return found
