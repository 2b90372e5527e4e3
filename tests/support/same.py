"""Whether two things are one, bit for bit, whatever is inside: batches, lists of them, states."""

from __future__ import annotations

from typing import Any


def same(one: Any, other: Any) -> bool:
    if hasattr(one, "dtype"):  # of NumPy's or torch's
        alike = (one.dtype, one.shape) == (getattr(other, "dtype", None), getattr(other, "shape", None))
        return alike and bool((one == other).all())
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other
