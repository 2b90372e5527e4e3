"""Normalising, casting and changing the layout on the CPU."""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import Any

import numpy as np

from dalimix.cpu.pixels.scratch import Scratch
from dalimix.support.forks import one_thread

Scaling = tuple[tuple[float, ...], tuple[float, ...]]  # scale and bias of every channel


class Finish:
    """``finish(mixed, target)`` normalises mixed pixels and casts them into their place in the output.

    Bytes that become float16 are first split into planes, because bytes are quickest to move. Everything else is
    computed where the pixels lie together, and brought to its layout last.
    """

    def __init__(self, scaling: Scaling | None, scratch: Scratch) -> None:
        self.scaling, self.scratch = scaling, scratch

    def __call__(self, mixed: np.ndarray, target: np.ndarray) -> None:
        """mixed: [B, rows, W, C]; target: a view of the same shape, of any strides."""
        if mixed.dtype == target.dtype and self.scaling is None:
            target[:] = mixed
        elif mixed.dtype == np.uint8 and target.dtype == np.float16:
            self._by_planes(mixed, target)
        else:
            self._together(mixed, target)

    def _by_planes(self, mixed: np.ndarray, target: np.ndarray) -> None:
        channels = mixed.shape[-1]
        scales, biases = self.scaling or ((1.0,) * channels, (0.0,) * channels)
        plane = self.scratch("plane", mixed.shape[:-1], np.uint8)
        by_table = loaded_torch() is None
        for c, (scale, bias) in enumerate(zip(scales, biases, strict=True)):
            plane[:] = mixed[..., c]
            if by_table:
                self._look_up(plane, scale, bias, target[..., c])
                continue
            floats = self.scratch("plane of floats", plane.shape, np.float32)
            floats[:] = plane
            floats *= np.float32(scale)
            floats += np.float32(bias)
            _cast(floats, target[..., c])

    def _look_up(self, plane: np.ndarray, scale: float, bias: float, target: np.ndarray) -> None:
        """Convert uint8 to float16, two pixels at a time."""
        if plane.shape[-1] % 2:
            target[:] = _half_table(scale, bias)[plane]
            return
        pairs = plane.view(np.uint16)
        indices = self.scratch("indices", pairs.shape, np.intp)
        words = self.scratch("words", pairs.shape, np.uint32)
        indices[:] = pairs
        np.take(_pair_table(scale, bias), indices, out=words, mode="wrap")  # in range anyway; the fastest mode
        target[:] = words.view(np.float16)

    def _together(self, mixed: np.ndarray, target: np.ndarray) -> None:
        floats = self.scratch("floats", mixed.shape, np.float32)
        if mixed is not floats:  # where `Blend` made it, it is this very array
            floats[:] = mixed
        if self.scaling is not None:  # adding a bias of 0 would turn −0 into 0
            rows = floats.reshape(len(floats), -1)
            scale, bias = (_tiled(values, rows.shape[1]) for values in self.scaling)
            rows *= scale
            rows += bias
        if target.dtype != np.float32:
            floats, of_floats = self.scratch("cast", floats.shape, target.dtype), floats
            _cast(of_floats, floats)
        target[:] = floats


def loaded_torch() -> Any:
    """torch, if it is loaded: NumPy takes some twenty times as long to cast to float16, for the same numbers.

    It must not be called while another thread is still importing it.
    """
    torch = sys.modules.get("torch")
    return None if getattr(getattr(torch, "__spec__", None), "_initializing", False) else torch


def _cast(floats: np.ndarray, target: np.ndarray) -> None:
    """Cast `floats`, which may be changed, into `target`."""
    torch = loaded_torch() if target.dtype == np.float16 else None
    if torch is not None:
        with one_thread(torch):
            torch.from_numpy(target).copy_(torch.from_numpy(floats))
        return
    if target.dtype == np.uint8:  # nearest, ties to even, saturated; NaN becomes 0
        np.fmin(np.fmax(floats, 0, out=floats), 255, out=floats)
        np.rint(floats, out=floats)
    with np.errstate(over="ignore"):  # too large for float16 is infinity, as on the GPU
        np.copyto(target, floats, casting="unsafe")


@lru_cache(maxsize=8)
def _tiled(values: tuple[float, ...], count: int) -> np.ndarray:
    """float32 [count]: the values of the channels, pixel after pixel."""
    return np.tile(np.array(values, np.float32), count // len(values))


@lru_cache(maxsize=64)
def _half_table(scale: float, bias: float) -> np.ndarray:
    """float16 [256]: the normalised value of every byte, rounded after product and sum as the kernel rounds."""
    values = np.arange(256, dtype=np.float32) * np.float32(scale) + np.float32(bias)
    with np.errstate(over="ignore"):
        halves: np.ndarray = values.astype(np.float16)
        return halves


@lru_cache(maxsize=64)
def _pair_table(scale: float, bias: float) -> np.ndarray:
    """uint32 [65536]: the two float16 for every two bytes, in the byte order of this machine."""
    pairs = np.arange(1 << 16, dtype=np.uint16).view(np.uint8)
    return _half_table(scale, bias)[pairs].view(np.uint32)
