"""The loops of kernels/attentive_cutmix.cu for the CPU."""

from __future__ import annotations

import numpy as np

from dalimix.cpu.parts.couples import below, couples, mixed_plan
from dalimix.cpu.parts.tokens import pixel_share, seen_heatmaps
from dalimix.cpu.parts.top_patches import top_patches
from dalimix.cpu.registry import planner
from dalimix.draws import Draws
from dalimix.methods import AttentiveCutMix
from dalimix.mix_plan import MixPlan
from dalimix.scene import Scene


@planner
def attentive_cutmix(method: AttentiveCutMix, draws: Draws, scene: Scene) -> MixPlan:
    """Plan the cells of xⱼ with the highest heatmap, pasted onto xᵢ at their own places."""
    couple = couples(method, draws.partner)
    fewest, most = method.tops
    top = fewest + below(draws.uniform[couple.row, 0], most - fewest + 1)
    tokens = top_patches(seen_heatmaps(scene, method.grid)[couple.partner], top)
    share = pixel_share(tokens, scene.size)
    weight = np.stack([1.0 - share, share], axis=1).astype(np.float32)
    return mixed_plan(method, draws, couple, tokens=tokens, weight=weight)
