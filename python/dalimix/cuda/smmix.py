"""Launches kernels/smmix.cu."""

from __future__ import annotations

import numpy as np

from dalimix.cuda.planner import flips, launch_planner, tokens_of
from dalimix.cuda.registry import planner
from dalimix.draws import Draws
from dalimix.methods import SMMix
from dalimix.mix_plan import MixPlan
from dalimix.scene import Scene

THREADS_PER_IMAGE = 128


@planner
def smmix(method: SMMix, draws: Draws, scene: Scene, into: MixPlan | None = None) -> MixPlan:
    """Plan the region of xⱼ with the highest heatmap, pasted over that of xᵢ with the lowest."""
    mirror = flips(scene.mirror, unused=draws.partner)
    plan, finer = tokens_of(method, draws, into)
    numbers = (*scene.size, *method.token_grid, *finer, *method.sides)
    own = (scene.heatmaps, mirror, *(np.int32(number) for number in numbers))
    given = {"MIRROR": int(scene.mirror is not None)}
    return launch_planner(method, draws, own, plan, per_image=THREADS_PER_IMAGE, **given)
