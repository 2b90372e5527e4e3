"""The loop of kernels/attentive_cutmix.cu for the CPU."""

from __future__ import annotations

import numpy as np

from dalimix.cpu.compiled import compiled, inlined
from dalimix.cpu.parts.plan import Drawn, Rows, begin, below, label_share
from dalimix.cpu.parts.tokens import pixels_of
from dalimix.cpu.parts.top_patches import Patches, load_keys, top_patches
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
    own = (Patches.empty(method.grid), heatmaps, flips(scene.mirror, len(heatmaps)), *scene.size, *method.tops)
    return run_planner(_attentive_cutmix, method, draws, own, into)


@compiled
def _attentive_cutmix(
    drawn: Drawn,
    patches: Patches,
    heatmaps: np.ndarray,  # float32 [B, g, g]
    mirror: np.ndarray,  # uint8 [B]
    height: int,
    width: int,
    low: int,
    high: int,
    rows: Rows,
) -> None:
    grid = heatmaps.shape[1]
    for at in range(len(drawn.permutation)):
        i, j, row, mixed = begin(drawn, at, rows)
        if not mixed:
            continue
        load_keys(heatmaps[j], mirror[j], patches.keys)
        count = low + below(drawn.uniform[row, 0], high - low + 1)
        top_patches(patches, count)
        pixels = 0
        for k in range(count):
            y, x = patches.cells[k] // grid, patches.cells[k] % grid
            _write_tokens(y, x, grid, rows.tokens[i])
            pixels += pixels_of(y, height, grid) * pixels_of(x, width, grid)
        label_share(rows, i, pixels / (np.float64(height) * width))


@inlined
def _write_tokens(y: int, x: int, grid: int, tokens: np.ndarray) -> None:
    """Write 1 for one cell; the tokens may be finer."""
    finer = len(tokens) // grid
    for down in range(y * finer, (y + 1) * finer):
        for across in range(x * finer, (x + 1) * finer):
            tokens[down, across] = 1
