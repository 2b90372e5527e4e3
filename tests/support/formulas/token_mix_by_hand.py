"""TokenMix, one image and one token at a time, in plain Python. Nothing is shared with the package."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from fractions import Fraction

Cells = set[tuple[int, int]]
Numbers = Callable[[], tuple[float, float, float, float]]  # for a try: in [0, 1), of area, aspect, top and left

SMALLEST_NORMAL = 2.0**-126  # what is smaller counts as 0


def philox(counter: list[int], key: list[int]) -> list[int]:
    """Philox4x32-10 as the paper draws it: in every round two products swap places and are mixed with the key."""
    c, k = list(counter), list(key)
    for _ in range(10):
        high_0, low_0 = divmod(0xD2511F53 * c[0], 1 << 32)
        high_1, low_1 = divmod(0xCD9E8D57 * c[2], 1 << 32)
        c = [high_1 ^ c[1] ^ k[0], low_1, high_0 ^ c[3] ^ k[1], low_0]
        k = [(k[0] + 0x9E3779B9) % (1 << 32), (k[1] + 0xBB67AE85) % (1 << 32)]
    return c


def numbers_of(key: list[int]) -> Iterator[tuple[float, float, float, float]]:
    """The random numbers of TokenMix for one image, try after try; the second picks one of 1024 quantiles."""
    tries = 0
    while True:
        area, aspect, top, left = philox([tries, 0, 0, 0], key)
        yield area / 2**32, ((aspect >> 22) + 0.5) / 1024, top / 2**32, left / 2**32
        tries += 1


def free_numbers(rng: random.Random) -> Iterator[tuple[float, float, float, float]]:
    """Numbers of any generator, and aspects that are not rounded to quantiles."""
    while True:
        yield rng.random(), rng.random(), rng.random(), rng.random()


def blocks(wanted: int, grid: int, numbers: Iterator[tuple[float, float, float, float]]) -> tuple[Cells, list[Cells]]:
    """The covered tokens, and the blocks that were taken, in their order."""
    covered: Cells = set()
    taken: list[Cells] = []
    while len(covered) < wanted:
        left = wanted - len(covered)
        for _ in range(10):
            cells = block(left, grid, *next(numbers))
            if 1 <= len(cells - covered) <= left:
                break
        else:
            return covered, taken
        covered |= cells
        taken.append(cells)
    return covered, taken


def block(left: int, grid: int, u_area: float, u_aspect: float, u_top: float, u_left: float) -> Cells:
    """Empty where it would be as large as the grid."""
    area = 1 + u_area * (left - 1)
    aspect = math.exp(math.log(0.3) + u_aspect * (math.log(1 / 0.3) - math.log(0.3)))
    height, width = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
    if height >= grid or width >= grid:
        return set()
    y, x = math.floor(u_top * (grid - height + 1)), math.floor(u_left * (grid - width + 1))
    return {(y + r, x + c) for r in range(height) for c in range(width)}


def lone_tokens(wanted: int, grid: int, key: list[int]) -> Cells:
    """The tokens with the greatest of their own random numbers, four of which come from one counter."""
    words = [philox([cell // 4, 1, 0, 0], key)[cell % 4] for cell in range(grid**2)]
    ranked = sorted(range(grid**2), key=lambda cell: -words[cell])
    return {divmod(cell, grid) for cell in ranked[:wanted]}


def activations(own: list[list[float]], partners: list[list[float]], shown: Cells) -> tuple[float, float]:
    """Equation 5: what is left of the own heatmap, and what is to be seen of the partner's."""
    cells = {(y, x) for y in range(len(own)) for x in range(len(own))}
    return _activation(own, cells - shown), _activation(partners, shown)


def _activation(heatmap: list[list[float]], cells: Cells) -> float:
    inside = sum((_part(heatmap[y][x]) for y, x in cells), Fraction(0))
    everything = sum((_part(value) for row in heatmap for value in row), Fraction(0))
    return float(inside / (everything + Fraction(1e-8)))


def _part(value: float) -> Fraction:
    return Fraction(value) if value >= SMALLEST_NORMAL else Fraction(0)
