"""The peer of `bench_tokenmix.py`: how the authors' code makes masks, written anew from what that code does.

It is at github.com/Sense-X/TokenMix. A mask is a NumPy array that plain Python fills token by token; the random numbers
are those of Python's `random`. A whole batch has one mask there.
"""

from __future__ import annotations

import math
import random

import numpy as np

from dalimix import TokenMix

TRIES = 10  # for each block
LONGEST = math.log(1 / 0.3)  # of height / width; what is as wide as that is high is as far from a square


class Loop:
    """Masks by the rule of `method`, whose λ is fixed, one after another."""

    def __init__(self, method: TokenMix) -> None:
        self.grid, self.cells = method.grid, method.grid**2
        self.wanted = min(self.cells, int((1 - method.lam) * self.cells) + method.min_tokens)
        self.one = self.blocks if method.blocks else self.lone_tokens
        self.random, self.numpy = random.Random(0), np.random.default_rng(0)

    def masks(self, count: int) -> np.ndarray:
        """Uint8 [count, grid, grid], as a plan has them."""
        return np.stack([self.one() for _ in range(count)]).astype(np.uint8)

    def blocks(self) -> np.ndarray:
        """Int64 [grid, grid]: blocks are added until enough is covered, or there was no room for one."""
        mask, left = np.zeros((self.grid, self.grid), np.int64), self.wanted
        while left:
            fresh = self.add_block(mask, left)
            if not fresh:
                break
            left -= fresh
        return mask

    def lone_tokens(self) -> np.ndarray:
        """Int64 [grid, grid]: so many places from the front of a shuffled list."""
        mask = np.zeros(self.cells, np.int64)
        mask[self.numpy.permutation(self.cells)[: self.wanted]] = 1
        return mask.reshape(self.grid, self.grid)

    def add_block(self, mask: np.ndarray, left: int) -> int:
        """How many tokens were covered anew, at most `left`; 0: by none of the tries."""
        for _ in range(TRIES):
            block = self.draw_block(left)
            if block is not None and 0 < mask[block].size - mask[block].sum() <= left:
                return fill(mask, *block)
        return 0

    def draw_block(self, left: int) -> tuple[slice, slice] | None:
        """Rows and columns; None where it is not smaller than the grid."""
        area = self.random.uniform(1, left)
        aspect = math.exp(self.random.uniform(-LONGEST, LONGEST))
        height, width = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if max(height, width) >= self.grid:
            return None
        top, across = self.random.randint(0, self.grid - height), self.random.randint(0, self.grid - width)
        return slice(top, top + height), slice(across, across + width)


def fill(mask: np.ndarray, rows: slice, columns: slice) -> int:
    """Set the tokens one by one, and count those that were not set."""
    fresh = 0
    for row in range(rows.start, rows.stop):
        for column in range(columns.start, columns.stop):
            if mask[row, column] == 0:
                mask[row, column] = 1
                fresh += 1
    return fresh
