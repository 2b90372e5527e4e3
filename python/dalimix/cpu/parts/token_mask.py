"""The loops of kernels/include/token_mask.cuh for the CPU."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.extending import intrinsic

from dalimix.cpu.compiled import inlined
from dalimix.cpu.parts.highest import choose_highest
from dalimix.cpu.parts.philox import philox, unit

TRIES = 10  # for each block
ASPECTS_BITS = 10

Key = tuple[int, int]


class Memory(NamedTuple):
    """The memory in which masks are made."""

    mask: np.ndarray  # uint8 [g, g], the result: 1 where the partner shows
    chosen: np.ndarray  # uint8 [g * g], the same memory, flattened
    bits: np.ndarray  # uint32 [g]: bit c of row r is token (r, c)
    keys: np.ndarray  # uint32 [g * g + 3]

    @classmethod
    def empty(cls, grid: int) -> Memory:
        """Make memory for a grid."""
        mask = np.empty((grid, grid), np.uint8)
        return cls(mask, mask.reshape(-1), np.empty(grid, np.uint32), np.empty(grid * grid + 3, np.uint32))


@intrinsic
def _ones(context: Any, bits: Any) -> Any:
    """How many bits of a uint32 are set."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.uint32(types.uint32), code


@inlined
def blocks(key: Key, wanted: int, aspects: np.ndarray, memory: Memory) -> None:
    """Add blocks until the tokens `wanted` are covered, or ten tries in a row cover nothing new or too much.

    Args:
        key: of the random numbers.
        wanted: tokens.
        aspects: float64 [1024], quantiles of height / width.
        memory: of the mask.
    """
    mask, bits, grid = memory.mask, memory.bits, len(memory.bits)
    for row in range(grid):
        bits[row] = 0
    tries, failed = 0, 0
    while wanted > 0 and failed < TRIES:
        top, bottom, block = _block(philox((tries, 0, 0, 0), key), wanted, grid, aspects)
        fresh = 0
        for row in range(top, bottom):
            fresh += _ones(np.uint32(block & ~bits[row]))
        taken = 0 < fresh <= wanted
        if taken:
            for row in range(top, bottom):
                bits[row] |= block
        wanted -= fresh if taken else 0
        failed = 0 if taken else failed + 1
        tries += 1
    for row in range(grid):
        for column in range(grid):
            mask[row, column] = bits[row] >> np.uint32(column) & np.uint32(1)


@inlined
def _block(random: tuple[int, int, int, int], left: int, grid: int, aspects: np.ndarray) -> tuple[int, int, int]:
    """Return (first row, end, bits of each row) of a rectangle; no rows if it is not smaller than the grid."""
    area, aspect = 1.0 + unit(random[0]) * (left - 1), aspects[random[1] >> np.uint64(32 - ASPECTS_BITS)]
    height, width = int(np.rint(np.sqrt(area * aspect))), int(np.rint(np.sqrt(area / aspect)))
    if height >= grid or width >= grid:
        return 0, 0, np.uint32(0)
    top, start = int(unit(random[2]) * (grid - height + 1)), int(unit(random[3]) * (grid - width + 1))
    return top, top + height, np.uint32(((1 << width) - 1) << start)


@inlined
def lone_tokens(key: Key, wanted: int, memory: Memory) -> None:
    """Make a mask of the `wanted` tokens with the highest random numbers."""
    keys, chosen = memory.keys, memory.chosen
    for quad in range((len(chosen) + 3) // 4):
        keys[4 * quad], keys[4 * quad + 1], keys[4 * quad + 2], keys[4 * quad + 3] = philox((quad, 1, 0, 0), key)
    choose_highest(keys[: len(chosen)], wanted, chosen)
