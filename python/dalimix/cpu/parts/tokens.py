"""The loops of kernels/include/tokens.cuh for the CPU: a grid of tokens over an image."""

from __future__ import annotations

from dalimix.cpu.compiled import compiled


@compiled
def cell(pixel: int, n: int, g: int) -> int:
    """Return the row of a grid of g, over n pixels, in which a pixel lies: row r begins at `first_pixel` of r."""
    return ((pixel + 1) * g - 1) // n


@compiled
def first_pixel(r: int, n: int, g: int) -> int:
    """Row r of a grid of g covers pixels ⌊r n / g⌋ … ⌊(r + 1) n / g⌋ − 1 of n."""
    return r * n // g


@compiled
def pixels_of(r: int, n: int, g: int) -> int:
    """Return how many pixels row r of a grid of g covers."""
    return first_pixel(r + 1, n, g) - first_pixel(r, n, g)
