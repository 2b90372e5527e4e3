"""Which of many keys are the highest: `choose_highest` of kernels/include/token_mask.cuh for the CPU.

Where a warp finds the lowest of them bit by bit, here the keys between which it lies are brought together: by where
it would lie if the keys between them were spread evenly, as they nearly are in heatmaps and random numbers, and by
halves in turns, which bounds the steps for all others.
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
    k, too_many = len(keys), reach - count
    while too_many > 0:  # the last of the ties
        k -= 1
        if keys[k] == lowest:
            chosen[k] = 0
            too_many -= 1


@inlined
def _lowest_of_highest(keys: np.ndarray, count: int) -> tuple[int, int]:
    """Return a number that `count` keys reach, or more if some are equal, and how many that are."""
    low, high = keys[0], keys[0]
    for k in range(len(keys)):
        low, high = min(low, keys[k]), max(high, keys[k])
    reached, beyond, even = np.int64(len(keys)), np.int64(0), True  # how many keys reach `low`, and lie above `high`
    while low < high and reached != count:
        share = np.float64(reached - count) / np.float64(reached - beyond) if even else 0.5
        middle = np.uint32(low + max(np.uint32(np.float64(high - low) * share), np.uint32(1)))
        reach = np.int64(_reaching(keys, middle))
        if reach >= count:
            low, reached = middle, reach
        else:
            high, beyond = np.uint32(middle - np.uint32(1)), reach
        even = not even
    return low, reached


@inlined
def _reaching(keys: np.ndarray, bound: int) -> int:
    """Return how many keys are `bound` or more."""
    count = np.uint32(0)
    for k in range(len(keys)):
        count = np.uint32(count + np.uint32(keys[k] >= bound))  # as wide as the keys, or it takes twice as long
    return count
