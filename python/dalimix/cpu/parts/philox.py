"""The loop of kernels/include/philox.cuh for the CPU."""

from __future__ import annotations

import numpy as np

from dalimix.cpu.compiled import compiled

LOW, HIGH = np.uint64(0xFFFFFFFF), np.uint64(32)
FIRST, SECOND = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
FIRST_STEP, SECOND_STEP = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)

Words = tuple[int, int, int, int]


@compiled
def philox(counter: Words, key: tuple[int, int]) -> Words:
    """Philox4x32-10: four words of 32 bits, in uint64, from four and two words."""
    a, b, c, d = np.uint64(counter[0]), np.uint64(counter[1]), np.uint64(counter[2]), np.uint64(counter[3])
    one, two = np.uint64(key[0]), np.uint64(key[1])
    for _ in range(10):
        left, right = FIRST * a, SECOND * c
        a, b, c, d = (right >> HIGH) ^ b ^ one, right & LOW, (left >> HIGH) ^ d ^ two, left & LOW
        one, two = (one + FIRST_STEP) & LOW, (two + SECOND_STEP) & LOW
    return a, b, c, d


@compiled
def unit(word: int) -> float:
    """Float64 in [0, 1), without rounding."""
    return word * (1.0 / 4294967296.0)
