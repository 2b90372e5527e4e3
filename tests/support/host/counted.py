"""The accesses to memory of `compose`, counted while it runs on the CPU: by how many bytes images are read and written.

Which way through the kernel a group of pixels takes depends on the plan; counting instructions does not tell.
"""

from __future__ import annotations

import ctypes
import subprocess
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

import dalimix.cpu  # so that importing it again does not undo what is patched here
import dalimix.cuda
from dalimix.cuda.loader import kernel_folder
from tests.support import host

HEADER = host.HERE / "counted.h"
EVERY = "asan-instrumentation-with-call-threshold=0", "asan-stack=0", "asan-globals=0"
FLAGS = ["-O0", "-fsanitize=kernel-address", *(f"--param={name}" for name in EVERY), "-include", str(HEADER)]
WIDTHS = 16, 8, 4, 2, 1


class Counted(ctypes.Structure):
    """That of counted.h."""

    _fields_ = (("begin", ctypes.c_ulong), ("end", ctypes.c_ulong), ("accesses", ctypes.c_ulong * 17))

    def watch(self, array: np.ndarray) -> None:
        self.begin, self.end = array.ctypes.data, array.ctypes.data + array.nbytes
        self.accesses[:] = [0] * 17

    def found(self) -> dict[int, int]:
        """Bytes of an access: how many there were."""
        assert not self.accesses[0], "an access of another size"
        return {width: self.accesses[width] for width in WIDTHS if self.accesses[width]}


class CountingKernel(host.HostKernel):
    """Counts the loads from its first argument and the stores to its last."""

    def __init__(self, path: Path, symbols: tuple[tuple[str, str | int], ...]) -> None:
        with patch.object(host, "FLAGS", [*host.FLAGS, *FLAGS]):
            super().__init__(path, **dict(symbols))
            library = ctypes.CDLL(str(host._library(path, tuple(sorted(symbols)))))
        self.loads, self.stores = (Counted.in_dll(library, name) for name in ("loads", "stores"))

    def __call__(self, grid: tuple[int, ...], block: tuple[int, ...], arguments: tuple[Any, ...]) -> None:
        self.loads.watch(arguments[0])
        self.stores.watch(arguments[-1])
        super().__call__(grid, block, arguments)


def missing() -> str:
    """Why nothing can be counted here; empty if it can."""
    try:
        told = subprocess.run([host.COMPILER, "--version"], capture_output=True, text=True).stdout
    except OSError as error:
        return f"counting accesses needs GCC: {error}"
    return "" if "Free Software Foundation" in told else f"counting accesses needs GCC, and {host.COMPILER} is not"


_kept = cache(CountingKernel)


def accesses(images: np.ndarray, plan: dalimix.MixPlan, **options: Any) -> tuple[dict[int, int], dict[int, int]]:
    """The loads from the images and the stores to the output of one `dalimix.compose`, by the bytes they move."""
    made: list[CountingKernel] = []

    def load_kernel(name: str, **symbols: str | int) -> CountingKernel:
        made.append(_kept(kernel_folder() / f"{name}.cu", tuple(symbols.items())))
        return made[0]

    with patch("dalimix.cuda.loader.load_kernel", load_kernel), patch("dalimix.cpu", dalimix.cuda):
        output = dalimix.compose(images, plan, **options)
    (kernel,) = made
    loads, stores = kernel.loads.found(), kernel.stores.found()
    assert sum(width * count for width, count in stores.items()) == output.nbytes
    return loads, stores
