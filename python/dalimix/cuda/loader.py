"""Compiles and keeps the kernels. The only place that makes a RawKernel."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

Kernel = Callable[[tuple[int, ...], tuple[int, ...], tuple[Any, ...]], None]


def kernel_folder() -> Path:
    """Where the .cu and .cuh files are installed."""
    return Path(str(files("dalimix.kernels")))


@cache
def load_kernel(name: str, **defines: str | int) -> Kernel:
    """Return the kernel of kernels/`name`.cu, compiled for the current device and kept for the life of the process.

    Args:
        name: of the file, and of the kernel in it.
        defines: preprocessor symbols; they take the place of templates.
    """
    import cupy

    source = (kernel_folder() / f"{name}.cu").read_text()
    kernel: Kernel = cupy.RawKernel(source, name, options=compile_options(**defines))
    return kernel


@cache
def compile_options(**defines: str | int) -> tuple[str, ...]:
    """Options for NVRTC. No fused multiply-add: the kernels round as NumPy rounds."""
    return (
        "--std=c++17",
        "--fmad=false",
        f"-I{kernel_folder() / 'include'}",
        *(f"-I{folder}" for folder in _cuda_headers()),
        f"-DHEADERS={_header_digest()}",
        *(f"-D{symbol}={value}" for symbol, value in sorted(defines.items())),
    )


def _cuda_headers() -> list[str]:
    """The folder of cuda_fp16.h, from the PyPI wheel or an installed toolkit."""
    from cuda.pathfinder import find_nvidia_header_directory

    folder = find_nvidia_header_directory("cudart")
    return [folder] if folder else []


@cache
def _header_digest() -> str:
    """Digest of our .cuh files: CuPy's cache of compiled kernels depends on the .cu alone."""
    headers = sorted(kernel_folder().glob("include/*.cuh"))
    return hashlib.sha1(b"".join(header.read_bytes() for header in headers)).hexdigest()[:12]
