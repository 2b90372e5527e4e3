"""Launches kernels/random_choice.cu."""

from __future__ import annotations

import math

import numpy as np

from dalimix.arrays import array_module
from dalimix.cuda import loader
from dalimix.cuda.constants import constant
from dalimix.cuda.planner import couple_arguments
from dalimix.cuda.registry import PLANNERS, planner
from dalimix.draws import Draws
from dalimix.methods import Method, RandomChoice
from dalimix.mix_plan import MixPlan
from dalimix.scene import Scene

THREADS = 128  # of the block for each image; they copy its tokens


@planner
def random_choice(method: RandomChoice, draws: Draws, scene: Scene, into: MixPlan | None = None) -> MixPlan:
    """Take each image's row from the plan of the method that is chosen for it."""
    xp, batch = array_module(draws.uniform), len(draws.uniform)
    plan = into or MixPlan.empty(xp, batch, grid=method.token_grid)
    grid = None if plan.tokens is None else plan.tokens.shape[-2:]
    plans = MixPlan.empty(xp, len(method.members), batch, grid=grid)  # one plan per member, side by side
    if plans.tokens is not None:
        plans.tokens.fill(0)  # of members that write none
    for index, (member, drawn) in enumerate(zip(method.members, draws.members, strict=True)):
        PLANNERS[member.name](member, drawn, scene, _slot(plans, index, member))
    inputs = (draws.partner, draws.uniform, constant(xp, method.cumulative, "float64"), *_six(plans))
    counts = [np.int32(n) for n in (len(method.members), batch, math.prod(grid) if grid else 0)]
    arguments = (*inputs, *counts, *couple_arguments(method), *_six(plan))
    loader.load_kernel(method.name)((batch,), (THREADS,), arguments)
    return plan


def _slot(plans: MixPlan, index: int, member: Method) -> MixPlan:
    """Where a member writes its plan; a planner that knows no tokens gets none."""
    arrays = plans.arrays() if member.token_grid else plans.arrays()[:5]
    return MixPlan(*(array[index] for array in arrays))


def _six(plan: MixPlan) -> tuple[object, ...]:
    """The arrays with tokens, or with an unused pointer if there are none."""
    return plan.arrays() if plan.tokens is not None else (*plan.arrays(), plan.partner)
