"""What counts as an array: NumPy's or CuPy's. Neither CuPy nor torch is imported here."""

from __future__ import annotations

import sys
from functools import cache
from types import ModuleType
from typing import Any, TypeAlias

Array: TypeAlias = Any  # a NumPy or a CuPy array
REFUSED = {  # kinds of NumPy's arrays that compute otherwise, and what to do with them
    "MaskedArray": "whose mask would be ignored: fill it, as array.filled(0) does",
    "matrix": "which has two axes whatever is done: make an array of it with numpy.asarray",
}


def array_module(array: Array, name: str = "the argument") -> ModuleType:
    """Return ``numpy`` or ``cupy``, whichever made `array`.

    Args:
        array: a NumPy or CuPy array.
        name: the argument's name, for the message.

    Raises:
        TypeError: the array is of neither.
    """
    module = _module_of(type(array))  # type: ignore[arg-type]  # mypy doubts that a type is hashable
    if module is None:
        raise TypeError(f"{name} must be a NumPy or CuPy array, got {_kind(array)}")
    return module


@cache  # called some forty times per batch
def _module_of(kind: type) -> ModuleType | None:
    if _refused(kind):
        return None
    libraries = (base.__module__.partition(".")[0] for base in kind.__mro__ if base.__name__ == "ndarray")
    return next((sys.modules[name] for name in libraries if name in ("numpy", "cupy")), None)


def _refused(kind: type) -> str | None:
    """Why arrays of this kind are none of NumPy's here; None if they are."""
    names = (base.__name__ for base in kind.__mro__ if base.__module__.partition(".")[0] == "numpy")
    return next((f"{name}, {REFUSED[name]}" for name in names if name in REFUSED), None)


def _kind(value: object) -> str:
    """Describe what came instead of an array, and what to do with it."""
    library, kind = type(value).__module__.partition(".")[0], type(value).__qualname__
    if isinstance(value, (list, tuple)):
        return f"a {kind}: make one with numpy.asarray"
    if refused := _refused(type(value)):
        return f"a {refused}"
    if library == "torch":
        return f"torch.{kind} (for torch tensors: dalimix.torch.BatchMixer)"
    return kind if library == "builtins" else f"{library}.{kind}"


def check_field(name: str, value: object) -> None:
    """Refuse, for a field of a container of arrays, what is plainly not an array.

    The library of the array is not checked: the containers also hold tensors and nodes of pipelines.

    Raises:
        TypeError: the value has a type that is built into Python.
    """
    if type(value).__module__ == "builtins":
        raise TypeError(f"{name} must be an array, got {value!r}")
