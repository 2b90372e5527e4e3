"""Launches kernels/random_choice.cu."""

from __future__ import annotations

import numpy as np

import dalimix.cuda as cuda
from dalimix.backend import array_module
from dalimix.cuda.constants import constant
from dalimix.cuda.planner import couple_arguments, launch_rows
from dalimix.draws import Draws
from dalimix.methods import RandomChoice
from dalimix.mix_plan import MixPlan


def random_choice(method: RandomChoice, draws: Draws, size: tuple[int, int], into: MixPlan | None = None) -> MixPlan:
    """Take each image's row from the plan of the method that is chosen for it."""
    xp, batch = array_module(draws.uniform), len(draws.uniform)
    plans = MixPlan.empty(xp, len(method.members), batch)  # one plan per member, side by side
    for index, (member, drawn) in enumerate(zip(method.members, draws.members, strict=True)):
        slot = MixPlan(*(array[index] for array in plans.arrays()))
        getattr(cuda, member.name)(member, drawn, size, slot)
    plan = into or MixPlan.empty(xp, batch)
    cumulative = constant(xp, method.cumulative, "float64")
    counts = np.int32(len(method.members)), np.int32(batch)
    inputs = (draws.partner, draws.uniform, cumulative, *plans.arrays(), *counts, *couple_arguments(method))
    launch_rows(method.name, batch, (*inputs, *plan.arrays()))
    return plan
