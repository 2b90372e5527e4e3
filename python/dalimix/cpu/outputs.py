"""Memory of outputs, used again: faulting in fresh pages takes as long as the arithmetic."""

from __future__ import annotations

import os
from itertools import accumulate
from math import prod
from sys import getrefcount
from threading import Lock
from typing import Any

import numpy as np

SMALL = 1 << 20  # bytes; the allocator keeps less than that by itself
MOST = 16  # buffers that are known, the last used first
IDLE, IDLE_BYTES = 2, 1 << 28  # of those that nobody uses: images and targets, one at least


class Outputs:
    """``outputs.empty(shape, dtype)`` is an array that nobody else can see, often in memory of an earlier one.

    A buffer is free when nothing refers to it but its place in the list: whoever keeps an array, or anything made of
    it without a copy (a view, a tensor, a DLPack capsule), refers to its buffer.
    """

    def __init__(self) -> None:
        self._buffers: list[np.ndarray] = []
        self.lock = Lock()
        self._references_if_free = self._references([np.empty(1, np.uint8)])[0]

    def __len__(self) -> int:
        """How many buffers are known."""
        return len(self._buffers)

    def empty(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        size = prod(shape) * np.dtype(dtype).itemsize
        if size < SMALL:
            return np.empty(shape, dtype)
        # The garbage collector or a signal handler may call this again in the same thread: nobody waits here.
        if not self.lock.acquire(blocking=False):
            return np.empty(shape, dtype)
        try:
            output: np.ndarray = self._free(size).view(dtype).reshape(shape)
        finally:
            self.lock.release()
        return output

    def _free(self, size: int) -> np.ndarray:
        free = [at for at, count in enumerate(self._references(self._buffers)) if count == self._references_if_free]
        found = next((at for at in free if self._buffers[at].nbytes == size), None)
        buffer = np.empty(size, np.uint8) if found is None else self._buffers[found]
        dropped = {found, *self._too_many([at for at in free if at != found])}
        self._buffers = [buffer, *(kept for at, kept in enumerate(self._buffers) if at not in dropped)][:MOST]
        return buffer

    def _too_many(self, idle: list[int]) -> list[int]:
        sums = accumulate(self._buffers[at].nbytes for at in idle)
        return [
            at for at, total in zip(idle[1:], list(sums)[1:], strict=True) if total > IDLE_BYTES or at in idle[IDLE:]
        ]

    @staticmethod
    def _references(buffers: list[np.ndarray]) -> list[int]:
        return [getrefcount(buffers[at]) for at in range(len(buffers))]


OUTPUTS = Outputs()


def _renew_lock() -> None:
    OUTPUTS.lock = Lock()  # another thread may have held it


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)
