"""Chooses the NumPy twin or the CUDA kernels by the type of the arrays; imports neither CuPy nor torch by itself."""

from __future__ import annotations

import sys
from functools import cache
from types import ModuleType
from typing import Any, TypeAlias

Array: TypeAlias = Any  # a NumPy or a CuPy array


def array_module(array: Array) -> ModuleType:
    """``numpy`` or ``cupy``, whichever made `array`.

    Raises:
        TypeError: the array is of neither.
    """
    return _module_of(type(array))  # type: ignore[arg-type]  # mypy doubts that a type is hashable


@cache  # asked some forty times for a batch
def _module_of(kind: type) -> ModuleType:
    name = kind.__module__.partition(".")[0]
    if name not in ("numpy", "cupy"):
        got = f"{kind.__module__}.{kind.__qualname__}"
        raise TypeError(f"expected a NumPy or CuPy array, got {got} (for torch tensors: dalimix.torch.BatchMixer)")
    return sys.modules[name]


def backend_of(*arrays: Array | None) -> ModuleType:
    """The package with the functions for these arrays: ``dalimix.reference`` or ``dalimix.cuda``.

    Raises:
        TypeError: the arrays are not all of one kind.
    """
    modules = {array_module(array).__name__ for array in arrays if array is not None}
    if len(modules) > 1:
        raise TypeError("expected all arrays on one device, got NumPy and CuPy arrays")
    if modules == {"cupy"}:
        import dalimix.cuda as backend
    else:
        import dalimix.reference as backend  # type: ignore[no-redef]
    return backend
