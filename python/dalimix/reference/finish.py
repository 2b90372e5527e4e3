"""Normalising, casting and laying out for the NumPy twin."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

Scaling = tuple[tuple[float, ...], tuple[float, ...]]  # scale and bias of every channel


class Finish:
    """``finish(mixed, target)`` normalises mixed pixels and casts them into their place in the output.

    It goes plane by plane, and uses the same scratch memory for every band: fresh memory would cost more than the
    arithmetic.
    """

    def __init__(self, scaling: Scaling | None) -> None:
        self.scaling = scaling
        self._kept: dict[Any, np.ndarray] = {}

    def __call__(self, mixed: np.ndarray, target: np.ndarray) -> None:
        """mixed: [B, rows, W, C]; target: a view of the same shape, of any strides."""
        if mixed.dtype == target.dtype and self.scaling is None:
            target[:] = mixed
            return
        channels = mixed.shape[-1]
        scales, biases = self.scaling or ((1.0,) * channels, (-0.0,) * channels)  # −0: adding 0 would turn −0 into 0
        plane = self._scratch("plane", mixed.shape[:-1], mixed.dtype)
        for c, (scale, bias) in enumerate(zip(scales, biases, strict=True)):
            plane[:] = mixed[..., c]
            if plane.dtype == np.uint8 and target.dtype == np.float16:
                self._look_up(plane, scale, bias, target[..., c])
            else:
                floats = self._scratch("floats", plane.shape, np.float32)
                _cast(_normalise(plane, scale, bias, floats), target[..., c])

    def _scratch(self, name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        key = (name, shape)
        if key not in self._kept:
            self._kept[key] = np.empty(shape, dtype)
        return self._kept[key]

    def _look_up(self, plane: np.ndarray, scale: float, bias: float, target: np.ndarray) -> None:
        """uint8 to float16 by table, two pixels at a time: NumPy casts to float16 five times slower."""
        if plane.shape[-1] % 2:
            target[:] = _half_table(scale, bias)[plane]
            return
        pairs = plane.view(np.uint16)
        indices = self._scratch("indices", pairs.shape, np.intp)
        halves = self._scratch("halves", pairs.shape, np.uint32)
        indices[:] = pairs
        np.take(_pair_table(scale, bias), indices, out=halves, mode="wrap")  # in range anyway; the fastest mode
        target[:] = halves.view(np.float16)


def _normalise(values: np.ndarray, scale: float, bias: float, floats: np.ndarray) -> np.ndarray:
    """Float32, rounded after the product and after the sum as the kernel rounds."""
    floats[:] = values
    floats *= np.float32(scale)
    floats += np.float32(bias)
    return floats


def _cast(values: np.ndarray, target: np.ndarray) -> None:
    if target.dtype == np.uint8:  # nearest, ties to even, saturated; NaN becomes 0
        values = np.rint(np.fmin(np.fmax(values, 0), 255))
    with np.errstate(over="ignore"):  # too large for float16 is infinity, as on the GPU
        np.copyto(target, values, casting="unsafe")


@lru_cache(maxsize=64)
def _half_table(scale: float, bias: float) -> np.ndarray:
    """float16 [256]: the normalised value of every byte."""
    values = np.arange(256)
    with np.errstate(over="ignore"):
        return _normalise(values, scale, bias, np.empty(256, np.float32)).astype(np.float16)


@lru_cache(maxsize=64)
def _pair_table(scale: float, bias: float) -> np.ndarray:
    """uint32 [65536]: the two float16 for every two bytes, in the byte order of this machine."""
    pairs = np.arange(1 << 16, dtype=np.uint16).view(np.uint8)
    return _half_table(scale, bias)[pairs].view(np.uint32)
