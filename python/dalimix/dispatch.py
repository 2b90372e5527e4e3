"""Chooses the loops for the CPU or the CUDA kernels by the type of the arrays."""

from __future__ import annotations

from types import ModuleType

from dalimix.arrays import Array, array_module
from dalimix.methods import Method


def backend_of(*arrays: Array | None) -> ModuleType:
    """Return the package with the functions for these arrays: ``dalimix.cpu`` or ``dalimix.cuda``.

    Raises:
        TypeError: the arrays are of both NumPy and CuPy.
    """
    modules = {array_module(array).__name__ for array in arrays if array is not None}
    if len(modules) > 1:
        raise TypeError("expected all arrays on one device, got NumPy and CuPy arrays")
    if modules == {"cupy"}:
        import dalimix.cuda as backend
    else:
        import dalimix.cpu as backend  # type: ignore[no-redef]
    return backend


def check_planners(backend: ModuleType, method: Method) -> None:
    """Refuse a method of which the backend has no planner, or none of one of its members.

    Raises:
        ValueError: it says what to do.
    """
    for planned in (method, *method.members):
        if planned.name not in backend.PLANNERS:
            missing = f"method {type(planned).__name__} has no planner {planned.name!r} in {backend.__name__}"
            raise ValueError(f"{missing}: import the planner's module in its __init__.py")
