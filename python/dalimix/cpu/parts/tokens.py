"""The loops of kernels/include/tokens.cuh for the CPU: a grid of tokens over an image."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dalimix.cpu.compiled import compiled, inlined


class Edges(NamedTuple):
    """The first pixel of every row and column of a grid, and the end of the last ones.

    Planners are given them, since a division takes as long as all else that they do for a cell.
    """

    down: np.ndarray  # int64 [gh + 1]
    across: np.ndarray  # int64 [gw + 1]


@inlined
def show(mask: np.ndarray, edges: Edges, tokens: np.ndarray) -> float:
    """Write a mask to the tokens of an image, and return the share of the image that it covers.

    Args:
        mask: uint8 [gh, gw], 1 where the partner shows.
        edges: of its grid.
        tokens: uint8 [gh * n, gw * m], written; they may be finer.
    """
    _write(mask, tokens)
    pixels = 0
    for r in range(mask.shape[0]):
        inside = 0
        for c in range(mask.shape[1]):
            inside += edges.across[c + 1] - edges.across[c] if mask[r, c] else 0
        pixels += inside * (edges.down[r + 1] - edges.down[r])
    return pixels / (np.float64(edges.down[-1]) * edges.across[-1])


@inlined
def _write(mask: np.ndarray, tokens: np.ndarray) -> None:
    if tokens.size == mask.size:  # as it nearly always is
        cells, target = mask.reshape(mask.size), tokens.reshape(tokens.size)
        for k in range(len(cells)):
            target[k] = cells[k]
        return
    down, across = tokens.shape[0] // mask.shape[0], tokens.shape[1] // mask.shape[1]
    for y in range(tokens.shape[0]):
        for c in range(mask.shape[1]):
            for x in range(c * across, (c + 1) * across):
                tokens[y, x] = mask[y // down, c]


@compiled
def cell(pixel: int, n: int, g: int) -> int:
    """Return the row of a grid of g, over n pixels, in which a pixel lies: row r begins at `first_pixel` of r."""
    return ((pixel + 1) * g - 1) // n


@compiled
def first_pixel(r: int, n: int, g: int) -> int:
    """Row r of a grid of g covers pixels ⌊r n / g⌋ … ⌊(r + 1) n / g⌋ − 1 of n."""
    return r * n // g
