"""Labels that begin with another number than 0."""

from __future__ import annotations

from typing import Any

from dali_ops.sources.callers import warn_caller
from dalimix.support.numbers import is_whole


def check_first_label(given: Any) -> int:
    """The label of class 0.

    Raises:
        TypeError: no whole number.
    """
    if not is_whole(given):
        raise TypeError(f"first_label must be a whole number, got {given!r:.100}")
    return int(given)


def of_no_class(label: int, first_label: int, count: int) -> str:
    """What is wrong with a label that is of none of so many classes, and what to do about it."""
    if label < first_label:
        return f"label {label}, but labels begin with {first_label}: first_label= says which is that of class 0"
    remedy = f": if labels begin with {first_label + 1}, give first_label={first_label + 1}"
    beyond = f"label {label}, but the {count} classes have the numbers from {first_label} on"
    return beyond + (remedy if label == first_label + count else "")


def warn_without_class_0(lowest: int, first_label: int, count: int) -> None:
    """Say that class 0 has no image, which mostly means that somebody counts from 1.

    Args:
        lowest: class index, from 0.
        first_label: what was subtracted from the labels.
        count: of classes, which nobody has named.
    """
    if lowest == 0:
        return
    label = first_label + lowest
    warn_caller(
        f"labels begin with {label}, so that there are {count} classes, and class 0 has no image: "
        f"if {label} is the label of class 0, give first_label={label}; if not, give classes=[…], all names"
    )
