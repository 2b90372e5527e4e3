"""Launches kernels/smmix.cu."""

from __future__ import annotations

import numpy as np

from dalimix.backend import array_module
from dalimix.cuda.planner import launch_planner
from dalimix.draws import Draws
from dalimix.methods import SMMix
from dalimix.mix_plan import MixPlan
from dalimix.scene import Scene

THREADS_PER_IMAGE = 128


def smmix(method: SMMix, draws: Draws, scene: Scene, into: MixPlan | None = None) -> MixPlan:
    """Plan the region of xⱼ with the highest heatmap, pasted over that of xᵢ with the lowest."""
    xp, grid = array_module(draws.uniform), method.token_grid
    mirror = draws.partner if scene.mirror is None else xp.ascontiguousarray(scene.mirror, "int32")
    plan = into or MixPlan.empty(xp, len(draws.partner), grid=grid)
    finer = (n // g for n, g in zip(plan.tokens.shape[-2:], grid, strict=True))  # type: ignore[union-attr]
    numbers = (*scene.size, *grid, *finer, *method.sides)
    own = (scene.heatmaps, mirror, *(np.int32(number) for number in numbers))
    given = {"MIRROR": int(scene.mirror is not None)}
    return launch_planner(method, draws, own, plan, per_image=THREADS_PER_IMAGE, **given)
