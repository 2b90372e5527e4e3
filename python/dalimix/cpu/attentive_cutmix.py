"""The loop of kernels/attentive_cutmix.cu for the CPU."""

from __future__ import annotations

import numpy as np

from dalimix.cpu.compiled import compiled
from dalimix.cpu.parts.plan import Drawn, Rows, begin, below, label_share
from dalimix.cpu.parts.tokens import Edges, show
from dalimix.cpu.parts.top_patches import Patches, top_patches
from dalimix.cpu.planner import edges_of, flips, ready, run_planner
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
    patches, edges = Patches.empty(method.grid), edges_of(scene.size, (method.grid, method.grid))
    own = (patches, heatmaps, flips(scene.mirror, len(heatmaps)), edges, *method.tops)
    return run_planner(_attentive_cutmix, method, draws, own, into)


@compiled
def _attentive_cutmix(
    drawn: Drawn,
    patches: Patches,
    heatmaps: np.ndarray,  # float32 [B, g, g]
    mirror: np.ndarray,  # uint8 [B]
    edges: Edges,
    low: int,
    high: int,
    rows: Rows,
) -> None:
    for at in range(len(drawn.permutation)):
        i, j, row, mixed = begin(drawn, at, rows)
        if not mixed:
            continue
        count = low + below(drawn.uniform[row, 0], high - low + 1)
        top_patches(heatmaps[j], mirror[j], count, patches)
        label_share(rows, i, show(patches.mask, edges, rows.tokens[i]))
