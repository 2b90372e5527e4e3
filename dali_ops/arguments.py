"""Arguments of plain types: checked, named, and in one form."""

from __future__ import annotations

from typing import Any

from dalimix import checks


def count(name: str, value: Any, most: int) -> int:
    """Raises ValueError: no whole number from 1 to `most`."""
    checks.counts(**{name: value})
    if value > most:
        raise ValueError(f"{name} must be {most} at most, got {value}")
    return int(value)


def text(name: str, value: Any) -> str:
    """Raises TypeError: no text."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a text, got {value!r}")
    return str(value)
