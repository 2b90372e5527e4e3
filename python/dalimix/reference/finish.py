"""Normalising, casting and laying out for the NumPy twin."""

from __future__ import annotations

import sys
from functools import lru_cache

import numpy as np

from dalimix.reference.scratch import Scratch

Scaling = tuple[tuple[float, ...], tuple[float, ...]]  # scale and bias of every channel


class Finish:
    """``finish(mixed, target)`` normalises mixed pixels and casts them into their place in the output.

    Bytes become float16 by a table. All else is computed in float32, where the pixels lie together, and brought to its
    layout last.
    """

    def __init__(self, scaling: Scaling | None, scratch: Scratch) -> None:
        self.scaling, self.scratch = scaling, scratch

    def __call__(self, mixed: np.ndarray, target: np.ndarray) -> None:
        """mixed: [B, rows, W, C]; target: a view of the same shape, of any strides."""
        if mixed.dtype == target.dtype and self.scaling is None:
            target[:] = mixed
        elif mixed.dtype == np.uint8 and target.dtype == np.float16:
            self._look_up(mixed, target)
        else:
            self._compute(mixed, target)

    def _compute(self, mixed: np.ndarray, target: np.ndarray) -> None:
        floats = self.scratch("floats", mixed.shape, np.float32)
        if mixed is not floats:
            floats[:] = mixed
        if self.scaling is not None:  # adding a bias of 0 would turn −0 into 0
            rows = floats.reshape(len(floats), -1)
            scale, bias = (_tiled(values, rows.shape[1]) for values in self.scaling)
            rows *= scale
            rows += bias
        if target.dtype == np.float16:
            halves = self.scratch("halves", floats.shape, np.float16)
            _to_float16(floats, halves)
            target[:] = halves
        elif target.dtype == np.uint8:  # nearest, ties to even, saturated; NaN becomes 0
            np.fmin(np.fmax(floats, 0, out=floats), 255, out=floats)
            np.copyto(target, np.rint(floats, out=floats), casting="unsafe")
        else:
            target[:] = floats

    def _look_up(self, mixed: np.ndarray, target: np.ndarray) -> None:
        """Plane by plane, two pixels at a time."""
        channels = mixed.shape[-1]
        plane = self.scratch("plane", mixed.shape[:-1], np.uint8)
        for c, (scale, bias) in enumerate(zip(*(self.scaling or ((1.0,) * channels, (0.0,) * channels)), strict=True)):
            plane[:] = mixed[..., c]
            if plane.shape[-1] % 2:
                target[..., c] = _half_table(scale, bias)[plane]
                continue
            pairs = plane.view(np.uint16)
            indices = self.scratch("indices", pairs.shape, np.intp)
            words = self.scratch("words", pairs.shape, np.uint32)
            indices[:] = pairs
            np.take(_pair_table(scale, bias), indices, out=words, mode="wrap")  # in range anyway; the fastest mode
            target[..., c] = words.view(np.float16)


def _to_float16(values: np.ndarray, halves: np.ndarray) -> None:
    """By torch where it is loaded already: NumPy takes some twenty times as long for the same numbers."""
    from_numpy = getattr(sys.modules.get("torch"), "from_numpy", None)
    if from_numpy:
        from_numpy(halves).copy_(from_numpy(values))
        return
    with np.errstate(over="ignore"):  # too large for float16 is infinity, as on the GPU
        np.copyto(halves, values, casting="unsafe")


@lru_cache(maxsize=8)
def _tiled(values: tuple[float, ...], count: int) -> np.ndarray:
    """float32 [count]: those of the channels, pixel after pixel."""
    return np.tile(np.array(values, np.float32), count // len(values))


@lru_cache(maxsize=64)
def _half_table(scale: float, bias: float) -> np.ndarray:
    """float16 [256]: the normalised value of every byte, rounded after product and sum as the kernel rounds."""
    values = np.arange(256, dtype=np.float32) * np.float32(scale) + np.float32(bias)
    with np.errstate(over="ignore"):
        return values.astype(np.float16)


@lru_cache(maxsize=64)
def _pair_table(scale: float, bias: float) -> np.ndarray:
    """uint32 [65536]: the two float16 for every two bytes, in the byte order of this machine."""
    pairs = np.arange(1 << 16, dtype=np.uint16).view(np.uint8)
    return _half_table(scale, bias)[pairs].view(np.uint32)
