"""Values that nobody should hand in, for the tests that throw them at every public argument."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np


class Odd:
    """An object that is nothing in particular."""

    def __repr__(self) -> str:
        return "an Odd object"


def values() -> list[Any]:
    """A fresh list, since some of them can be changed by what they are handed to."""
    return [
        None, True, False, 0, 1, -1, 7, 1 << 40, 1 << 80, 0.5, -0.0, 1e30, float("nan"), float("inf"), 1j,
        "", "x", "gpu", "CHW", "0", b"x", (), [], {}, set(), (0, 0), (1, 2, 3), [None], ["x"], {"x": 1}, [[1], [2, 3]],
        np.zeros(0), np.zeros(3), np.ones((2, 3), np.int64), np.array(5), np.array(["x"]), np.array([None]),
        np.float32(0.5), np.int8(3), np.bool_(True), np.full((4, 4, 4), np.nan), np.zeros((8, 4, 4, 3), np.uint8),
        np.random.default_rng(0), range(3), slice(1), int, Odd, Odd(), len, lambda *_, **__: None, ..., NotImplemented,
    ]  # fmt: skip


def is_answered(error: BaseException, names: Iterable[str]) -> bool:
    """Whether an error is a ValueError or TypeError whose message names one of the arguments."""
    words = set(re.findall(r"\w+", str(error)))
    return isinstance(error, (ValueError, TypeError)) and bool(words & set(names))


def complaint(call: Callable[[], Any], names: Iterable[str]) -> str | None:
    """What is wrong with how a call took its arguments: None if it went well or was answered."""
    try:
        call()
    except Exception as error:
        if not is_answered(error, names):
            return f"{type(error).__name__}: {str(error)[:300]}"
    return None
