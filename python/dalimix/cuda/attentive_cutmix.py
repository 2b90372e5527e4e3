"""Launches kernels/attentive_cutmix.cu."""

from __future__ import annotations

import numpy as np

from dalimix.cuda.planner import flips, launch_planner, tokens_of
from dalimix.cuda.registry import planner
from dalimix.cuda.resample_heatmaps import resample_heatmaps
from dalimix.draws import Draws
from dalimix.methods import AttentiveCutMix
from dalimix.mix_plan import MixPlan
from dalimix.scene import Scene

MOST_THREADS = 256


@planner
def attentive_cutmix(method: AttentiveCutMix, draws: Draws, scene: Scene, into: MixPlan | None = None) -> MixPlan:
    """Plan the cells of xⱼ with the highest heatmap, pasted onto xᵢ at their own places."""
    heatmaps = resample_heatmaps(scene.heatmaps, method.grid)
    mirror = flips(scene.mirror, unused=draws.partner)
    plan, (finer, _) = tokens_of(method, draws, into)
    numbers = (*scene.size, method.grid, finer, *method.tops)
    own = (heatmaps, mirror, *(np.int32(number) for number in numbers))
    threads = min(MOST_THREADS, (method.grid**2 + 31) // 32 * 32)  # whole warps, a thread for each cell if they suffice
    return launch_planner(method, draws, own, plan, per_image=threads, MIRROR=int(scene.mirror is not None))
