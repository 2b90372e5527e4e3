"""What counts as a number, a whole number, a truth value or a pair, in any library."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real

import numpy as np


def is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def is_whole(value: object) -> bool:
    if type(value) is int:  # nearly always, and the others take ten times as long
        return True
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_truth(value: object) -> bool:
    return isinstance(value, (bool, np.bool_))


def is_pair(value: object) -> bool:
    return isinstance(value, Sequence) and len(value) == 2
