"""The loops of kernels/include/noise.cuh for the CPU, written so that the compiler vectorises them."""

from __future__ import annotations

import numpy as np

from dalimix.cpu.compiled import inlined
from dalimix.cpu.parts.dtype import as_bits, as_float
from dalimix.cpu.parts.philox import philox

BLOCK = 8  # pixels of a channel that share a counter: two for each word
WORDS = 4
ANGLE = np.float32(4.7936899e-05)  # π / 65536


@inlined
def noise(
    key: tuple[int, int],
    y: int,
    channel: int,
    start: int,
    stop: int,
    words: np.ndarray,  # uint32 [W / 2], overwritten; W is a multiple of BLOCK that holds the row
    to: np.ndarray,  # float32 [W], written
) -> None:
    """Write standard normal numbers for pixels start … stop − 1 of a row, and for the others of their blocks."""
    first, last = start // BLOCK, (stop + BLOCK - 1) // BLOCK
    for block in range(first, last):
        a, b, c, d = philox((block, y, channel, 0), key)  # Use.NOISE
        k = WORDS * block
        words[k], words[k + 1], words[k + 2], words[k + 3] = np.uint32(a), np.uint32(b), np.uint32(c), np.uint32(d)
    for k in range(WORDS * first, WORDS * last):
        to[2 * k], to[2 * k + 1] = _normals(words[k])


@inlined
def _radius(word: int) -> float:
    """√(−2 ln u) for u = (k + ½) / 2¹⁶, where k is the upper half of the word; up to 4.85."""
    odd = np.int32((word >> np.uint32(16)) * np.uint32(2) + np.uint32(1))
    u = np.int32(as_bits(np.float32(odd) * np.float32(1 / 131072)))
    exponent = np.int32(u - np.int32(0x3F3504F3)) >> np.int32(23)  # u = 2^exponent (1 + t), ½ ≤ (1 + t)² < 2
    t = as_float(np.uint32(u - np.int32(exponent << np.int32(23)))) - np.float32(1)
    log = np.float32(-0.1466237)  # ln(1 + t) / t, within 8e-6
    log = log * t + np.float32(0.2216873)
    log = log * t - np.float32(0.2535916)
    log = log * t + np.float32(0.33248273)
    log = log * t - np.float32(0.49991405)
    log = log * t + np.float32(1.0000055)
    return np.sqrt(np.float32(-2) * (np.float32(exponent) * np.float32(0.6931472) + t * log))


@inlined
def _normals(word: int) -> tuple[float, float]:
    """Two standard normal numbers; the lower half of the word is an angle of a quarter circle, and which quarter."""
    radius = _radius(word)
    angle = np.float32(np.int32((word & np.uint32(0x3FFF)) * np.uint32(2)) - np.int32(16383)) * ANGLE
    square = angle * angle
    sine = (np.float32(0.008151636) * square - np.float32(0.1666248)) * square + np.float32(0.9999986)
    sine = angle * sine
    along = (np.float32(0.040398534) * square - np.float32(0.49970815)) * square + np.float32(0.99999)
    cosine = -along if word & np.uint32(0x4000) else along
    turned = (word & np.uint32(0x8000)) != 0
    return radius * (sine if turned else cosine), radius * (cosine if turned else sine)
