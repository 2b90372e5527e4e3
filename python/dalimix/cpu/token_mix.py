"""The loop of kernels/token_mix.cu for the CPU."""

from __future__ import annotations

from functools import cache

import numpy as np

from dalimix.cpu.compiled import compiled, inlined
from dalimix.cpu.parts.plan import Drawn, Rows, begin, label_share
from dalimix.cpu.parts.subnormals import SMALLEST_NORMAL
from dalimix.cpu.parts.token_mask import Memory, blocks, lone_tokens
from dalimix.cpu.parts.tokens import Edges, show
from dalimix.cpu.planner import edges_of, flips, ready, run_planner
from dalimix.cpu.registry import planner
from dalimix.cpu.resample_heatmaps import resample_heatmaps
from dalimix.draws import Draws
from dalimix.methods import TokenMix
from dalimix.methods.token_mix import aspects
from dalimix.mix_plan import MixPlan
from dalimix.scene import Scene


@planner
def token_mix(method: TokenMix, draws: Draws, scene: Scene, into: MixPlan | None = None) -> MixPlan:
    """Plan tokens of xⱼ on xᵢ, and their weights in the labels."""
    size, aspects = len(draws.partner), _aspects() if method.blocks else _aspects()[:0]
    heatmaps = np.empty((size, 0, 0), np.float32)
    if scene.heatmaps is not None:
        heatmaps = resample_heatmaps(scene.heatmaps, method.grid)
    arrays = map(ready, (draws.key, aspects, heatmaps, flips(scene.mirror, size)))  # type: ignore[arg-type]
    fixed = -1 if method.fixed_tokens is None else method.fixed_tokens
    grid = method.grid, method.grid
    own = (*arrays, Memory.empty(method.grid), fixed, method.added_tokens, edges_of(scene.size, grid))
    return run_planner(_token_mix, method, draws, own, into)


@cache
def _aspects() -> np.ndarray:
    return np.array(aspects())


@compiled
def _token_mix(
    drawn: Drawn,
    keys: np.ndarray,  # uint32 [B, 2]
    aspects: np.ndarray,  # float64 [1024], empty for tokens by themselves
    heatmaps: np.ndarray,  # float32 [B, g, g] or [B, 0, 0]
    mirror: np.ndarray,  # uint8 [B]
    memory: Memory,
    fixed: int,
    added: int,
    edges: Edges,
    rows: Rows,
) -> None:
    mask, cells = memory.mask, memory.mask.size
    for at in range(len(drawn.permutation)):
        i, j, row, mixed = begin(drawn, at, rows)
        if not mixed:
            continue
        wanted = fixed if fixed >= 0 else int((1.0 - np.float64(drawn.lam[row])) * cells)
        wanted, key = min(cells, wanted + added), (keys[row, 0], keys[row, 1])
        if len(aspects):
            blocks(key, wanted, aspects, memory)
        else:
            lone_tokens(key, wanted, memory)
        label_share(rows, i, show(mask, edges, rows.tokens[i]))
        if heatmaps.shape[1]:
            rows.weight[i, 0] = _activation(heatmaps[i], mirror[i], mask, 0)
            rows.weight[i, 1] = _activation(heatmaps[j], mirror[j], mask, 1)


@inlined
def _activation(heatmap: np.ndarray, flip: int, mask: np.ndarray, shown: int) -> float:
    """Return the share of a heatmap, as it looks after mirroring, in the tokens that are `shown` (equation 5).

    Neither values below 0 count nor those that a GPU would flush. Sums go along each row, then down the rows.
    """
    grid, inside, everywhere = len(mask), 0.0, 0.0
    for r in range(grid):
        inside_row, row = 0.0, 0.0
        for c in range(grid):
            value = heatmap[r, grid - 1 - c if flip else c]
            value = np.float64(value) if value >= SMALLEST_NORMAL else 0.0
            row += value
            inside_row += value if mask[r, c] == shown else 0.0
        inside += inside_row
        everywhere += row
    return np.float32(inside / (everywhere + 1e-8))
