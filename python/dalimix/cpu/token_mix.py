"""The loop of kernels/token_mix.cu for the CPU."""

from __future__ import annotations

from functools import cache

import numpy as np

from dalimix.cpu.compiled import compiled, inlined
from dalimix.cpu.parts.plan import Drawn, Rows, begin, label_share
from dalimix.cpu.parts.subnormals import SMALLEST_NORMAL
from dalimix.cpu.parts.token_mask import blocks, lone_tokens
from dalimix.cpu.parts.tokens import pixels_of
from dalimix.cpu.planner import flips, ready, run_planner
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
    cells = method.grid**2
    memory = np.empty(method.grid, np.uint32), np.empty(cells + 3, np.uint32), np.empty(cells, np.uint8)
    own = (*arrays, *memory, fixed, method.added_tokens, *scene.size, method.grid)
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
    mask: np.ndarray,  # uint32 [g], overwritten
    random: np.ndarray,  # uint32 [g * g + 3], overwritten
    chosen: np.ndarray,  # uint8 [g * g], overwritten
    fixed: int,
    added: int,
    height: int,
    width: int,
    grid: int,
    rows: Rows,
) -> None:
    for at in range(len(drawn.permutation)):
        i, j, row, mixed = begin(drawn, at, rows)
        if not mixed:
            continue
        wanted = fixed if fixed >= 0 else int((1.0 - np.float64(drawn.lam[row])) * (grid * grid))
        wanted, key = min(grid * grid, wanted + added), (keys[row, 0], keys[row, 1])
        if len(aspects):
            blocks(key, wanted, grid, aspects, mask)
        else:
            lone_tokens(key, wanted, grid, random, chosen, mask)
        _write_tokens(mask, rows.tokens[i])
        label_share(rows, i, _pixels(mask, height, width) / (np.float64(height) * width))
        if heatmaps.shape[1]:
            rows.weight[i, 0] = _activation(heatmaps[i], mirror[i], mask, 0)
            rows.weight[i, 1] = _activation(heatmaps[j], mirror[j], mask, 1)


@inlined
def _write_tokens(mask: np.ndarray, tokens: np.ndarray) -> None:
    """Write the bits of the mask to tokens, which may be finer."""
    down, across = tokens.shape[0] // len(mask), tokens.shape[1] // len(mask)
    for y in range(tokens.shape[0]):
        bits = mask[y // down]
        for x in range(tokens.shape[1]):
            tokens[y, x] = bits >> np.uint32(x // across) & np.uint32(1)


@inlined
def _pixels(mask: np.ndarray, height: int, width: int) -> float:
    """Return how many pixels the tokens cover."""
    grid, pixels = len(mask), 0
    for r in range(grid):
        across = 0
        for c in range(grid):
            across += pixels_of(c, width, grid) if mask[r] >> np.uint32(c) & np.uint32(1) else 0
        pixels += pixels_of(r, height, grid) * across
    return np.float64(pixels)


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
            inside_row += value if mask[r] >> np.uint32(c) & np.uint32(1) == shown else 0.0
        inside += inside_row
        everywhere += row
    return np.float32(inside / (everywhere + 1e-8))
