"""The loops of kernels/mixup.cu for the CPU."""

from __future__ import annotations

import numpy as np

from dalimix.cpu.parts.couples import couples, mixed_plan
from dalimix.cpu.registry import planner
from dalimix.draws import Draws
from dalimix.methods import Mixup
from dalimix.mix_plan import MixPlan
from dalimix.scene import Scene


@planner
def mixup(method: Mixup, draws: Draws, scene: Scene) -> MixPlan:
    """Plan λ xᵢ + (1 − λ) xⱼ."""
    couple = couples(method, draws.partner)
    lam = draws.lam[couple.row]
    weight = np.stack([lam, np.float32(1) - lam], axis=1)
    return mixed_plan(method, draws, couple, blend=lam, weight=weight)
