"""The loops of kernels/smmix.cu for the CPU."""

from __future__ import annotations

import numpy as np

from dalimix.cpu.parts.attention_region import attention_region
from dalimix.cpu.parts.couples import below, couples, mixed_plan
from dalimix.cpu.parts.tokens import seen_heatmaps
from dalimix.cpu.registry import planner
from dalimix.draws import Draws
from dalimix.methods import SMMix
from dalimix.mix_plan import MixPlan
from dalimix.scene import Scene


@planner
def smmix(method: SMMix, draws: Draws, scene: Scene) -> MixPlan:
    """Plan the region of xⱼ with the highest heatmap, pasted over that of xᵢ with the lowest."""
    couple, seen = couples(method, draws.partner), seen_heatmaps(scene)
    shortest, longest = method.sides
    side = shortest + below(draws.uniform[couple.row, 0], longest - shortest + 1)
    to = attention_region(seen, side, highest=False)
    source = attention_region(seen[couple.partner], side, highest=True)
    top, bottom, down = _place(to[:, 0], source[:, 0], side, scene.size[0], method.token_grid[0])
    left, right, across = _place(to[:, 1], source[:, 1], side, scene.size[1], method.token_grid[1])
    share = (bottom - top).astype(np.float64) * (right - left) / (float(scene.size[0]) * scene.size[1])
    rows = {
        "weight": np.stack([1.0 - share, share], axis=1).astype(np.float32),
        "box": np.stack([top, left, bottom, right], axis=1),
        "shift": np.stack([down, across], axis=1),
        "tokens": _tokens(to, side, method.token_grid),
    }
    return mixed_plan(method, draws, couple, **rows)


def _place(to: np.ndarray, source: np.ndarray, side: np.ndarray, n: int, g: int) -> tuple[np.ndarray, ...]:
    """Int32 [B] pixels along one axis: from where to where is written, and how far from there is read.

    Where the grid does not divide the image, some cells are a pixel larger; what is read still ends within the image.
    """
    start, stop = to * n // g, (to + side) * n // g
    return start, stop, source * n // g - start


def _tokens(first: np.ndarray, side: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Uint8 [B, rows, columns]: 1 in the window of `side` cells from the cell `first`, int [B, 2]."""
    rows, columns = (
        (start <= np.arange(g)) & (np.arange(g) < start + side[:, None])
        for start, g in zip(first.T[:, :, None], grid, strict=True)
    )
    tokens: np.ndarray = (rows[:, :, None] & columns[:, None, :]).astype(np.uint8)
    return tokens
