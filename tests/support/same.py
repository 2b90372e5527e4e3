"""Whether two things are one, bit for bit, whatever is inside: batches, lists of them, states."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other
