"""Memory that `compose` reuses on the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np


class Scratch:
    """``scratch(name, shape, dtype)`` is the same array every time.

    Fresh memory for every band of rows would cost more than the arithmetic.
    """

    def __init__(self) -> None:
        self._kept: dict[Any, np.ndarray] = {}

    def __call__(self, name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        key = (name, shape)
        if key not in self._kept:
            self._kept[key] = np.empty(shape, dtype)
        return self._kept[key]
