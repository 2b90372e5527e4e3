"""Other libraries' streams as CuPy's current stream."""

from __future__ import annotations

from typing import Any


class _Borrowed:
    """A stream by its pointer, in the CUDA stream protocol."""

    def __init__(self, pointer: int) -> None:
        self.pointer = pointer

    def __cuda_stream__(self) -> tuple[int, int]:
        return 0, self.pointer


def borrowed_stream(pointer: int) -> Any:
    """A context in which CuPy queues its work on the stream at this address, which another library owns."""
    import cupy

    return cupy.cuda.Stream.from_external(_Borrowed(pointer))
