"""Means of few numbers, and how sure they are."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import NamedTuple

CONFIDENCE = 0.95


class Interval(NamedTuple):
    """A mean, and half the width of its confidence interval."""

    mean: float
    half: float

    @property
    def low(self) -> float:
        return self.mean - self.half

    @property
    def high(self) -> float:
        return self.mean + self.half

    @property
    def sign(self) -> int:
        """1 or -1 if the whole interval lies on that side of 0, else 0."""
        return int(self.low > 0) - int(self.high < 0)


def mean_of(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """By Student's t distribution.

    Raises:
        ValueError: there are less than two values, which say nothing of how they vary.
    """
    from scipy.stats import t

    count = len(values)
    if count < 2:
        raise ValueError(f"an interval needs two values at least, got {count}: run more seeds")
    half = t.ppf((1 + confidence) / 2, count - 1) * statistics.stdev(values) / count**0.5
    return Interval(statistics.fmean(values), float(half))


def mean_difference(values: Sequence[float], baseline: Sequence[float]) -> Interval:
    """Of pairs, such as runs of the same seeds."""
    return mean_of([value - other for value, other in zip(values, baseline, strict=True)])
