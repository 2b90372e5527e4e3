"""What dataclasses of options share that check themselves when they are made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dalimix.support.numbers import is_number, is_pair, is_truth, is_whole


class Checked:
    """A frozen dataclass that keeps every value in one form, so that equal options compare equal."""

    def _keep_number(self, name: str, lowest: float, highest: float, expectation: str) -> None:
        """Require a number in the range, and keep it as Python's float, because NumPy's small ones overflow."""
        value = getattr(self, name)
        with np.errstate(over="ignore"):  # a limit beyond NumPy's small ones is infinity there
            holds = is_number(value) and lowest <= value <= highest
        self._require(holds, f"{name} must be {expectation}", value)
        object.__setattr__(self, name, float(value))

    def _keep_whole(self, name: str, lowest: int, highest: int) -> None:
        """Require a whole number in the range."""
        value = getattr(self, name)
        holds = is_whole(value) and lowest <= value <= highest
        self._require(holds, f"{name} must be a whole number from {lowest} to {highest}", value)
        object.__setattr__(self, name, int(value))

    def _keep_one_or_two(self, name: str, holds: Callable[[Any, Any], bool], expectation: str) -> None:
        """Require one whole number or a pair of them; `holds` is called with the pair, or with the one number twice."""
        value: Any = getattr(self, name)
        pair = tuple(value) if is_pair(value) else (value, value)
        self._require(all(map(is_whole, pair)) and holds(*pair), f"{name} must be {expectation}", value)
        object.__setattr__(self, name, tuple(map(int, pair)) if is_pair(value) else int(value))

    def _keep_truth(self, name: str) -> None:
        value = getattr(self, name)
        self._require(is_truth(value), f"{name} must be True or False", value)
        object.__setattr__(self, name, bool(value))

    def _require(self, holds: bool, expectation: str, got: object) -> None:
        if not holds:
            raise ValueError(f"{type(self).__name__}: {expectation}, got {got!r}")
