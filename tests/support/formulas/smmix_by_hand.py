"""SMMix for one image in plain Python: every window is looked at, cell by cell."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from dalimix import SMMix


def side(method: SMMix, u: float) -> int:
    """Both ends of the range can be drawn; g is the shorter side of the grid."""
    low, high = (
        math.floor(Fraction(str(share)) * min(method.token_grid)) for share in (method.min_side, method.max_side)
    )
    return low + math.floor(u * (high - low + 1))


def region(heatmap: list[list[float]], side: int, best: Callable[..., Any]) -> tuple[int, int]:
    """First cell of the window whose sum is the `best`, min or max; the first of equal ones, NaN last."""
    places = [(y, x) for y in range(len(heatmap) - side + 1) for x in range(len(heatmap[0]) - side + 1)]
    sums = {place: window_sum(heatmap, *place, side) for place in places}
    numbers = [place for place in places if not math.isnan(sums[place])]
    return best(numbers, key=sums.__getitem__) if numbers else places[0]  # min and max keep the first of equal ones


def window_sum(heatmap: list[list[float]], y: int, x: int, side: int) -> float:
    """Rows first, each from left to right, then the sums of the rows from top to bottom."""
    total = 0.0
    for row in heatmap[y : y + side]:
        along = 0.0
        for value in row[x : x + side]:
            along += value
        total += along
    return total


def pixels(
    to: tuple[int, int], source: tuple[int, int], side: int, grid: tuple[int, int], size: tuple[int, int]
) -> tuple[Any, Any]:
    """Box and shift. What is read must lie inside of the image, also where cells differ in size."""
    start = [t * n // g for t, g, n in zip(to, grid, size, strict=True)]
    stop = [(t + side) * n // g for t, g, n in zip(to, grid, size, strict=True)]
    read = [s * n // g for s, g, n in zip(source, grid, size, strict=True)]
    assert all(r + b - a <= n for r, a, b, n in zip(read, start, stop, size, strict=True))
    return (*start, *stop), tuple(r - s for r, s in zip(read, start, strict=True))
