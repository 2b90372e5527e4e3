"""Which of many keys are the highest: `choose_highest` of kernels/include/token_mask.cuh for the CPU.

Where a warp finds the lowest of them bit by bit, here the keys between which it lies are brought together by halves:
heatmaps have their keys close together, so that fewer steps suffice.
"""

from __future__ import annotations

import numpy as np

from dalimix.cpu.compiled import inlined


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
    """Return a number that `count` keys reach, or more if some are equal, and how many that are."""
    low, high, reached = keys[0], keys[0], np.uint32(len(keys))
    for k in range(len(keys)):
        low, high = min(low, keys[k]), max(high, keys[k])
    while low < high and reached != count:
        middle = np.uint32(high - ((high - low) >> np.uint32(1)))  # above `low`
        reach = _reaching(keys, middle)
        if reach >= count:
            low, reached = middle, reach
        else:
            high = np.uint32(middle - np.uint32(1))
    return low, reached


@inlined
def _reaching(keys: np.ndarray, bound: int) -> int:
    """Return how many keys are `bound` or more."""
    count = np.uint32(0)
    for k in range(len(keys)):
        count = np.uint32(count + np.uint32(keys[k] >= bound))  # as wide as the keys, or it takes twice as long
    return count
