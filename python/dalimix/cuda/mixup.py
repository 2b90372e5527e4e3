"""Launches kernels/mixup.cu."""

from __future__ import annotations

from dalimix.cuda.planner import launch_planner
from dalimix.cuda.registry import planner
from dalimix.draws import Draws
from dalimix.methods import Mixup
from dalimix.mix_plan import MixPlan
from dalimix.scene import Scene


@planner
def mixup(method: Mixup, draws: Draws, scene: Scene, into: MixPlan | None = None) -> MixPlan:
    """Plan λ xᵢ + (1 − λ) xⱼ."""
    return launch_planner(method, draws, into=into)
