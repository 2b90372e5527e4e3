"""Test equipment: runs the .cu files on the CPU, called as a `cupy.RawKernel` is called."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from dalimix.cuda.loader import kernel_folder
from tests.support.shared import once

HERE = Path(__file__).parent
CACHE = Path(os.environ.get("DALIMIX_HOST_CACHE", HERE / ".cache"))
COMPILER = os.environ.get("CXX", "g++")
FLAGS = ["-std=c++20", "-O1", "-shared", "-fPIC", "-ffp-contract=off", "-w", "-U_FORTIFY_SOURCE"]  # it refuses fibers
ORDERS = {"forward": 0, "reversed": 1, "shuffled": 12345}


class HostKernel:
    """One compiled kernel. ``kernel(grid, block, arguments)`` with NumPy arrays and NumPy scalars.

    Args:
        path: the .cu file; its kernel has the file's name.
        defines: preprocessor symbols.
    """

    order = "forward"  # of the threads and blocks, for all kernels; see ORDERS

    def __init__(self, path: Path, **defines: str | int) -> None:
        library = ctypes.CDLL(str(_library(path, tuple(sorted(defines.items())))))
        self._run, self._written = library.run, library.written

    def __call__(self, grid: tuple[int, ...], block: tuple[int, ...], arguments: tuple[Any, ...]) -> None:
        values = [_value(argument) for argument in arguments]
        pointers = (ctypes.c_void_p * len(values))(*(value.ctypes.data for value in values))
        self._run(_three(grid), _three(block), ORDERS[self.order], pointers)

    def written(self) -> np.ndarray:
        """int64 [n, 2]: thread and address of the 16-byte stores of the last call, in order for each thread."""
        found = np.empty((self._written(None), 2), np.int64)
        self._written(ctypes.c_void_p(found.ctypes.data))
        return found


def load_kernel(name: str, **defines: str | int) -> HostKernel:
    """Stands in for `dalimix.cuda.loader.load_kernel`."""
    return _kept(name, tuple(sorted(defines.items())))


@cache
def _kept(name: str, defines: tuple[tuple[str, str | int], ...]) -> HostKernel:
    return HostKernel(kernel_folder() / f"{name}.cu", **dict(defines))


def _value(argument: Any) -> np.ndarray:
    """The bytes of one argument; of an array, its address."""
    if isinstance(argument, np.ndarray):
        assert argument.flags.c_contiguous, "kernels take contiguous arrays"
        return np.array(argument.ctypes.data, np.uintp)
    assert isinstance(argument, np.generic), f"kernels take arrays and NumPy scalars, not {type(argument)}"
    return np.array(argument)


def _three(extents: tuple[int, ...]) -> Any:
    return (ctypes.c_uint * 3)(*extents, *[1] * (3 - len(extents)))


def _library(path: Path, defines: tuple[tuple[str, str | int], ...]) -> Path:
    """Compile for the CPU, once per source, flags and symbols."""
    sanitize = ["-fsanitize=address", "-fno-omit-frame-pointer"] if os.environ.get("DALIMIX_HOST_ASAN") else []
    symbols = [f"-D{symbol}={value}" for symbol, value in defines]
    source = f"""#include "cuda_on_host.h"
        #include "{path}"
        extern "C" void run(const unsigned* grid, const unsigned* block, unsigned order, void** arguments) {{
          host::arguments = arguments;
          host::run(grid, block, order, [] {{ host::call({path.stem}); }});
        }}
        extern "C" int written(void* found) {{
          if (found) std::memcpy(found, host::written.data(), host::written.size() * sizeof host::written[0]);
          return static_cast<int>(host::written.size());
        }}"""
    headers = [*sorted(kernel_folder().glob("include/*.cuh")), *sorted(HERE.glob("*.h"))]
    texts = [p.read_text() for p in (path, *headers)]
    digest = hashlib.sha1("\0".join([source, *FLAGS, *sanitize, *symbols, *texts]).encode()).hexdigest()[:16]
    options = [*FLAGS, *sanitize]
    places = [f"-I{_header(options)}", f"-I{HERE}", f"-I{kernel_folder() / 'include'}"]
    return once(
        CACHE / f"{path.stem}-{digest}.so", partial(_compile, [*options, *symbols, *places, "-x", "c++", "-"], source)
    )


def _header(options: list[str]) -> Path:
    """A folder with `cuda_on_host.h` compiled already, as that takes longer than a kernel.

    A compiler for which it is not in the right form reads the header itself, which lies beside it.
    """
    texts = [COMPILER, *options, *(path.read_text() for path in sorted(HERE.glob("*.h")))]

    def make(folder: Path) -> None:
        shutil.copytree(HERE, folder, ignore=lambda _, names: [name for name in names if not name.endswith(".h")])
        header = folder / "cuda_on_host.h"
        _compile([*options, "-x", "c++-header", str(header)], "", folder / f"{header.name}.gch")

    return once(CACHE / f"header-{hashlib.sha1(chr(0).join(texts).encode()).hexdigest()[:16]}", make)


def _compile(options: list[str], source: str, output: Path) -> None:
    # Without what tests preload: the compiler would run under AddressSanitizer itself.
    around = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    command = [COMPILER, *options, "-o", str(output)]
    done = subprocess.run(command, input=source, text=True, capture_output=True, env=around)
    assert done.returncode == 0, f"a kernel does not compile for the CPU:\n{done.stderr}"
