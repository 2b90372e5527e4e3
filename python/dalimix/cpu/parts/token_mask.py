"""The loops of kernels/include/token_mask.cuh for the CPU. Bit c of a mask's row r is token (r, c)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic

from dalimix.cpu.compiled import inlined
from dalimix.cpu.parts.philox import philox, unit

TRIES = 10  # for each block
ASPECTS_BITS = 10

Key = tuple[int, int]


@intrinsic
def _ones(context: Any, bits: Any) -> Any:
    """How many bits of a uint32 are set."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.uint32(types.uint32), code


@inlined
def blocks(key: Key, wanted: int, grid: int, aspects: np.ndarray, mask: np.ndarray) -> None:
    """Add blocks until the tokens `wanted` are covered, or ten tries in a row cover nothing new or too much.

    Args:
        key: of the random numbers.
        wanted: tokens.
        grid: rows and columns.
        aspects: float64 [1024], quantiles of height / width.
        mask: uint32 [grid], written.
    """
    for row in range(grid):
        mask[row] = 0
    tries, failed = 0, 0
    while wanted > 0 and failed < TRIES:
        top, bottom, bits = _block(philox((tries, 0, 0, 0), key), wanted, grid, aspects)
        fresh = 0
        for row in range(top, bottom):
            fresh += _ones(np.uint32(bits & ~mask[row]))
        taken = 0 < fresh <= wanted
        if taken:
            for row in range(top, bottom):
                mask[row] |= bits
        wanted -= fresh if taken else 0
        failed = 0 if taken else failed + 1
        tries += 1


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
    k, too_many = len(keys), np.int64(reach) - count
    while too_many > 0:  # the last of the ties
        k -= 1
        if keys[k] == lowest:
            chosen[k] = 0
            too_many -= 1


@inlined
def _lowest_of_highest(keys: np.ndarray, count: int) -> tuple[int, int]:
    """Return a number that `count` keys reach, or more if some are equal, and how many that are.

    It is found bit by bit, from the highest.
    """
    lowest, reached = np.uint32(0), np.uint32(len(keys))
    for bit in range(31, -1, -1):
        tried = np.uint32(lowest | (np.uint32(1) << np.uint32(bit)))
        reach = np.uint32(0)
        for k in range(len(keys)):
            reach = np.uint32(reach + np.uint32(keys[k] >= tried))  # as wide as the keys, or it takes twice as long
        if reach >= count:
            lowest, reached = tried, reach
        if reach == count:
            break
    return lowest, reached


@inlined
def lone_tokens(
    key: Key,
    wanted: int,
    grid: int,
    keys: np.ndarray,  # uint32 [grid * grid + 3], overwritten
    chosen: np.ndarray,  # uint8 [grid * grid], overwritten
    mask: np.ndarray,
) -> None:
    """Choose the `wanted` tokens with the highest random numbers; the other arguments are those of `blocks`."""
    cells = grid * grid
    for quad in range((cells + 3) // 4):
        keys[4 * quad], keys[4 * quad + 1], keys[4 * quad + 2], keys[4 * quad + 3] = philox((quad, 1, 0, 0), key)
    choose_highest(keys[:cells], wanted, chosen)
    for row in range(grid):
        mask[row] = 0
        for column in range(grid):
            mask[row] |= np.uint32(chosen[row * grid + column]) << np.uint32(column)
