"""The loops of kernels/include/noise.cuh for the CPU, over all channels at once, so that they are vectorised."""

from __future__ import annotations

import numpy as np

from dalimix.cpu.compiled import inlined
from dalimix.cpu.parts.dtype import as_bits, as_float
from dalimix.cpu.parts.philox import philox

BLOCK = 8  # pixels of a channel that share a counter: two for each word
WORDS = 4  # of a counter
ROOT_HALF = 0x3F3504F3  # the bits of √½


@inlined
def noise(
    key: tuple[int, int],
    y: int,
    first: int,
    last: int,
    channels: int,
    counters: np.ndarray,  # uint32 [2, C * blocks], overwritten
    words: np.ndarray,  # uint32 [4 * C * blocks], overwritten
    to: np.ndarray,  # float32 [8 * C * blocks], written
) -> None:
    """Write standard normal numbers for blocks first … last − 1 of a row, channel by channel."""
    blocks = last - first
    count = channels * blocks
    for c in range(channels):
        _count(counters[0, c * blocks : (c + 1) * blocks], counters[1, c * blocks : (c + 1) * blocks], first, c)
    _draw(key, y, counters[0, 0:count], counters[1, 0:count], words[0 : WORDS * count])
    _to_normals(words[0 : WORDS * count], to[0 : BLOCK * count])


@inlined
def _count(blocks: np.ndarray, channels: np.ndarray, first: int, channel: int) -> None:
    for k in range(len(blocks)):
        blocks[k], channels[k] = first + k, channel


@inlined
def _draw(key: tuple[int, int], y: int, blocks: np.ndarray, channels: np.ndarray, words: np.ndarray) -> None:
    for k in range(len(blocks)):
        a, b, c, d = philox((blocks[k], y, channels[k], 0), key)  # Use.NOISE
        at = WORDS * k
        words[at], words[at + 1], words[at + 2], words[at + 3] = np.uint32(a), np.uint32(b), np.uint32(c), np.uint32(d)


@inlined
def _to_normals(words: np.ndarray, to: np.ndarray) -> None:
    for k in range(len(words)):
        to[2 * k], to[2 * k + 1] = _normals(words[k])


@inlined
def _radius(word: int) -> float:
    """√(−2 ln u) for u = (k + ½) / 2¹⁶, where k is the upper half of the word; up to 4.85."""
    odd = np.float32(np.int32((word >> np.uint32(15)) | np.uint32(1)))  # 2¹⁷ u = 2^(exponent + 17) (1 + t)
    above = np.int32(np.int32(as_bits(odd)) - np.int32(ROOT_HALF + (17 << 23)))
    exponent = np.float32(np.int32(above >> np.int32(23)))
    t = as_float(np.uint32((above & np.int32(0x7FFFFF)) + np.int32(ROOT_HALF))) - np.float32(1)  # ½ ≤ (1 + t)² < 2
    log = np.float32(-0.36205435)  # −2 ln(1 + t) / t, within 1e-4
    log = log * t + np.float32(0.5440662)
    log = log * t - np.float32(0.67186564)
    log = log * t + np.float32(0.99877304)
    log = log * t - np.float32(1.9999456)
    return np.sqrt(exponent * np.float32(-1.3862944) + t * log)


@inlined
def _normals(word: int) -> tuple[float, float]:
    """Two standard normal numbers; the lower half of the word is an angle of a quarter circle, and which quarter."""
    radius = _radius(word)
    steps = np.float32(np.int32((word & np.uint32(0x3FFF)) * np.uint32(2)) - np.int32(16383))
    angle = steps * np.float32(4.7936899e-05)  # π / 65536
    square = angle * angle
    sine = (np.float32(0.008151636) * square - np.float32(0.1666248)) * square + np.float32(0.9999986)
    sine = angle * sine
    along = (np.float32(0.040398534) * square - np.float32(0.49970815)) * square + np.float32(0.99999)
    cosine = -along if word & np.uint32(0x4000) else along
    turned = (word & np.uint32(0x8000)) != 0
    return radius * (sine if turned else cosine), radius * (cosine if turned else sine)
