"""The loops of kernels/include/philox.cuh for the CPU."""

from __future__ import annotations

import numpy as np

LOW, HIGH = np.uint64(0xFFFFFFFF), np.uint64(32)


def philox(counter: np.ndarray, key: np.ndarray) -> np.ndarray:
    """Philox4x32-10: uint32 [..., 4] of counters uint32 [..., 4] and keys uint32 [..., 2], broadcast."""
    x, y, z, w = (counter[..., k].astype(np.uint64) for k in range(4))
    first, second = (key[..., k].astype(np.uint64) for k in range(2))
    for _ in range(10):
        left, right = np.uint64(0xD2511F53) * x, np.uint64(0xCD9E8D57) * z
        x, y, z, w = right >> HIGH ^ y ^ first, right & LOW, left >> HIGH ^ w ^ second, left & LOW
        first, second = first + np.uint64(0x9E3779B9) & LOW, second + np.uint64(0xBB67AE85) & LOW
    return np.stack(np.broadcast_arrays(x, y, z, w), axis=-1).astype(np.uint32)


def unit(words: np.ndarray) -> np.ndarray:
    """Float64 in [0, 1), without rounding."""
    return words * (1.0 / 4294967296.0)
