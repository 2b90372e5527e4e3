"""Launches kernels/cutmix.cu."""

from __future__ import annotations

import numpy as np

from dalimix.cuda.planner import launch_planner
from dalimix.cuda.registry import planner
from dalimix.draws import Draws
from dalimix.methods import CutMix
from dalimix.mix_plan import MixPlan
from dalimix.scene import Scene


@planner
def cutmix(method: CutMix, draws: Draws, scene: Scene, into: MixPlan | None = None) -> MixPlan:
    """Plan the box that is cut from xⱼ and pasted onto xᵢ."""
    height, width = scene.size
    own = (height, width, *method.sides(height), *method.sides(width), method.labels_follow_area)
    return launch_planner(method, draws, [np.int32(value) for value in own], into)
