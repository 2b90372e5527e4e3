"""How heatmaps are resampled to another grid: one rule for the CPU and for CUDA."""

from __future__ import annotations

from functools import cache

Weights = tuple[tuple[float, ...], ...]


@cache
def axis_weights(old: int, new: int) -> Weights:
    """Return [new, old] shares of the old cells along one axis in every new cell; each row adds up to 1.

    With fewer new cells, a new cell is the mean over what it covers, old cells in part where they are cut. With more,
    values are interpolated linearly between the centres of the old cells, and constant beyond the outer ones.
    """
    cell = _mean if new <= old else _interpolated
    return tuple(cell(k, old, new) for k in range(new))


def _mean(k: int, old: int, new: int) -> tuple[float, ...]:
    """Overlap of k·old/new … (k + 1)·old/new with every old cell, in integer multiples of 1/new."""
    low, high = k * old, (k + 1) * old
    return tuple(max(0, min(high, (c + 1) * new) - max(low, c * new)) / old for c in range(old))


def _interpolated(k: int, old: int, new: int) -> tuple[float, ...]:
    place = min(max((2 * k + 1) * old - new, 0), 2 * new * (old - 1))  # of the centre, in multiples of 1/(2·new)
    left, rest = divmod(place, 2 * new)
    weights = [0.0] * old
    weights[left] = 1 - rest / (2 * new)
    if rest:
        weights[left + 1] = rest / (2 * new)
    return tuple(weights)
