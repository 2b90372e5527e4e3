"""Checks of what is handed to providers and mixers. Each names the argument; none needs torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dalimix import checks
from dalimix.pixels import per_channel
from dalimix.support.numbers import is_whole

Numbers = tuple[float, ...] | None
LONGEST_SIDE = 1 << 16


def normalisation(mean: Any, std: Any) -> tuple[Numbers, Numbers]:
    """Return mean and std as tuples of numbers, one or one per channel, checked as far as that needs no images.

    Raises:
        TypeError, ValueError: they are not numbers, not finite, or of different lengths; a std is not above 0.
    """
    means = None if mean is None else per_channel("mean", mean)
    stds = None if std is None else per_channel("std", std)
    counts = {len(numbers) for numbers in (means, stds) if numbers is not None} - {1}
    if len(counts) > 1:
        raise ValueError(f"mean and std must be for as many channels, got {len(means or ())} and {len(stds or ())}")
    checks.scaling(means, stds, max(counts, default=1))
    return means, stds


def sides(name: str, given: Any) -> tuple[int, int] | None:
    """Return (rows, columns) from one number or two; None if nothing is given."""
    if given is None:
        return None
    pair = given if isinstance(given, Sequence) else (given, given)
    whole = len(pair) == 2 and all(is_whole(n) for n in pair)
    if not whole or not 1 <= min(pair) <= max(pair) <= LONGEST_SIDE:
        raise ValueError(f"{name} must be one whole number from 1, or two (rows, columns), got {given!r}")
    return int(pair[0]), int(pair[1])


def described(given: Any) -> str:
    """Describe what came, in short: ``torch.float32 [8, 3, 32, 32]``, or the name of its type."""
    if getattr(given, "is_nested", False) is True:  # to ask for its shape is an error in torch
        return "a nested tensor"
    dtype, shape = getattr(given, "dtype", None), getattr(given, "shape", None)
    module = "" if type(given).__module__ == "torch" else f"{type(given).__module__}.{type(given).__qualname__} "
    told = isinstance(shape, tuple) and dtype is not None
    return f"{module}{dtype} {list(shape or ())}" if told else type(given).__name__
