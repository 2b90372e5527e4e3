"""The loop of kernels/smmix.cu for the CPU."""

from __future__ import annotations

import numpy as np

from dalimix.cpu.compiled import compiled, inlined
from dalimix.cpu.parts.attention_region import BLOCK, attention_region
from dalimix.cpu.parts.plan import Drawn, Rows, begin, below, label_share
from dalimix.cpu.parts.tokens import Edges
from dalimix.cpu.planner import edges_of, flips, ready, run_planner
from dalimix.cpu.registry import planner
from dalimix.draws import Draws
from dalimix.methods import SMMix
from dalimix.mix_plan import MixPlan
from dalimix.scene import Scene


@planner
def smmix(method: SMMix, draws: Draws, scene: Scene, into: MixPlan | None = None) -> MixPlan:
    """Plan the region of xⱼ with the highest heatmap, pasted over that of xᵢ with the lowest."""
    assert scene.heatmaps is not None
    size, down, across = scene.heatmaps.shape
    edges, memory = edges_of(scene.size, (down, across)), np.zeros((2, down * across + BLOCK))
    own = (ready(scene.heatmaps), flips(scene.mirror, size), memory, edges, *method.sides)
    return run_planner(_smmix, method, draws, own, into)


@compiled
def _smmix(
    drawn: Drawn,
    heatmaps: np.ndarray,  # float32 [B, gh, gw]
    mirror: np.ndarray,  # uint8 [B]
    values: np.ndarray,  # float64 [2, gh * gw + BLOCK], overwritten
    edges: Edges,
    low: int,
    high: int,
    rows: Rows,
) -> None:
    _, down, across = heatmaps.shape
    for at in range(len(drawn.permutation)):
        i, j, row, mixed = begin(drawn, at, rows)
        if not mixed:
            continue
        side = low + below(drawn.uniform[row, 0], high - low + 1)
        to = attention_region(heatmaps[i], mirror[i], side, False, values)
        source = attention_region(heatmaps[j], mirror[j], side, True, values)
        box, shift = rows.box[i], rows.shift[i]
        box[0], box[2], shift[0] = _place(to[0], source[0], side, edges.down)
        box[1], box[3], shift[1] = _place(to[1], source[1], side, edges.across)
        pixels = np.float64(edges.down[-1]) * edges.across[-1]
        label_share(rows, i, np.float64(box[2] - box[0]) * (box[3] - box[1]) / pixels)
        _write_tokens(to, side, down, across, rows.tokens[i])


@inlined
def _place(to: int, source: int, side: int, edges: np.ndarray) -> tuple[int, int, int]:
    """Return the pixels along one axis: from where to where is written, and how far from there is read.

    Where the grid does not divide the image, some cells are a pixel larger; what is read still ends within the image.
    """
    start = edges[to]
    return start, edges[to + side], edges[source] - start


@inlined
def _write_tokens(to: tuple[int, int], side: int, down: int, across: int, tokens: np.ndarray) -> None:
    """Write 1 in the window that begins at the cell `to`; the tokens may be finer than the cells."""
    finer_down, finer_across = tokens.shape[0] // down, tokens.shape[1] // across
    for y in range(to[0] * finer_down, (to[0] + side) * finer_down):
        for x in range(to[1] * finer_across, (to[1] + side) * finer_across):
            tokens[y, x] = 1
