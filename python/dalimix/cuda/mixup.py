"""Launches kernels/mixup.cu."""

from __future__ import annotations

from dalimix.cuda.planner import launch_planner
from dalimix.draws import Draws
from dalimix.methods import Mixup
from dalimix.mix_plan import MixPlan


def mixup(method: Mixup, draws: Draws, size: tuple[int, int], into: MixPlan | None = None) -> MixPlan:
    """Plan λ xᵢ + (1 − λ) xⱼ."""
    return launch_planner(method, draws, into=into)
