"""The loop of kernels/attentive_cutmix.cu for the CPU."""

from __future__ import annotations

import numpy as np

from dalimix.cpu.compiled import compiled
from dalimix.cpu.parts.plan import Drawn, Rows, begin, below, label_share
from dalimix.cpu.parts.token_mask import choose_highest
from dalimix.cpu.parts.tokens import pixels_of
from dalimix.cpu.parts.top_patches import load_keys
from dalimix.cpu.planner import flips, ready, run_planner
from dalimix.cpu.registry import planner
from dalimix.cpu.resample_heatmaps import resample_heatmaps
from dalimix.draws import Draws
from dalimix.methods import AttentiveCutMix
from dalimix.mix_plan import MixPlan
from dalimix.scene import Scene


@planner
def attentive_cutmix(method: AttentiveCutMix, draws: Draws, scene: Scene, into: MixPlan | None = None) -> MixPlan:
    """Plan the cells of xⱼ with the highest heatmap, pasted onto xᵢ at their own places."""
    assert scene.heatmaps is not None
    heatmaps = ready(resample_heatmaps(scene.heatmaps, method.grid))
    own = (heatmaps, flips(scene.mirror, len(heatmaps)), *scene.size, *method.tops)
    return run_planner(_attentive_cutmix, method, draws, own, into)


@compiled
def _attentive_cutmix(
    drawn: Drawn,
    heatmaps: np.ndarray,  # float32 [B, g, g]
    mirror: np.ndarray,  # uint8 [B]
    height: int,
    width: int,
    low: int,
    high: int,
    rows: Rows,
) -> None:
    grid = heatmaps.shape[1]
    keys, chosen = np.empty(grid * grid, np.uint32), np.empty((grid, grid), np.uint8)
    widths = np.array([pixels_of(x, width, grid) for x in range(grid)], np.int32)
    for at in range(len(drawn.permutation)):
        i, j, row, mixed = begin(drawn, at, rows)
        if not mixed:
            continue
        load_keys(heatmaps[j], mirror[j], keys)
        choose_highest(keys, low + below(drawn.uniform[row, 0], high - low + 1), chosen.reshape(-1))
        _write_tokens(chosen, rows.tokens[i])
        label_share(rows, i, _pixels(chosen, height, widths) / (np.float64(height) * width))


@compiled
def _write_tokens(chosen: np.ndarray, tokens: np.ndarray) -> None:
    """Write the cells to the tokens, which may be finer."""
    grid = len(chosen)
    finer = len(tokens) // grid
    for y in range(grid):
        for down in range(y * finer, (y + 1) * finer):
            for across in range(finer):
                for x in range(grid):
                    tokens[down, x * finer + across] = chosen[y, x]


@compiled
def _pixels(chosen: np.ndarray, height: int, widths: np.ndarray) -> int:
    """Return how many pixels the cells cover."""
    grid, pixels = len(chosen), 0
    for y in range(grid):
        across = np.int32(0)
        for x in range(grid):
            across = np.int32(across + widths[x] * np.int32(chosen[y, x]))
        pixels += pixels_of(y, height, grid) * across
    return pixels
