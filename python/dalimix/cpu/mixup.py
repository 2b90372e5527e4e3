"""The loop of kernels/mixup.cu for the CPU."""

from __future__ import annotations

import numpy as np

from dalimix.cpu.compiled import compiled
from dalimix.cpu.parts.plan import Drawn, Rows, begin
from dalimix.cpu.planner import run_planner
from dalimix.cpu.registry import planner
from dalimix.draws import Draws
from dalimix.methods import Mixup
from dalimix.mix_plan import MixPlan
from dalimix.scene import Scene


@planner
def mixup(method: Mixup, draws: Draws, scene: Scene, into: MixPlan | None = None) -> MixPlan:
    """Plan λ xᵢ + (1 − λ) xⱼ."""
    return run_planner(_mixup, method, draws, (), into)


@compiled
def _mixup(drawn: Drawn, rows: Rows) -> None:
    for at in range(len(drawn.permutation)):
        i, _, row, mixed = begin(drawn, at, rows)
        if not mixed:
            continue
        rows.blend[i] = rows.weight[i, 0] = drawn.lam[row]
        rows.weight[i, 1] = np.float32(1) - drawn.lam[row]
