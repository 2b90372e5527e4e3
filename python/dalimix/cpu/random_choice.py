"""The loops of kernels/random_choice.cu for the CPU."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dalimix.cpu.parts.couples import couples, unmixed
from dalimix.cpu.registry import PLANNERS, planner
from dalimix.draws import Draws
from dalimix.methods import RandomChoice
from dalimix.mix_plan import MixPlan
from dalimix.scene import Scene


@planner
def random_choice(method: RandomChoice, draws: Draws, scene: Scene) -> MixPlan:
    """Take each image's row from the plan of the method that is chosen for it."""
    members = zip(method.members, draws.members, strict=True)
    plans = [PLANNERS[member.name](member, drawn, scene) for member, drawn in members]
    row, chosen = couples(method, draws.partner).row, chosen_members(method, draws)
    plan = unmixed(len(row), method.token_grid)
    plans = [_on_grid(member, method.token_grid) for member in plans]
    for target, *sources in zip(plan.arrays(), *(p.arrays() for p in plans), strict=True):
        rows = np.stack(sources)[chosen, np.arange(len(row))]
        mixed = (draws.uniform[row, 1].astype(np.float64) < method.prob).reshape(-1, *[1] * (rows.ndim - 1))
        np.copyto(target, rows, where=mixed)
    return plan


def chosen_members(method: RandomChoice, draws: Draws) -> np.ndarray:
    """Int64 [B]: which of the members is chosen for each image."""
    u = draws.uniform[couples(method, draws.partner).row, 0].astype(np.float64)
    members: np.ndarray = np.searchsorted(np.array(method.cumulative[:-1]), u, side="right")
    return members


def _on_grid(plan: MixPlan, grid: tuple[int, int] | None) -> MixPlan:
    """The same plan with tokens on a grid that is a multiple of its own; with all tokens 0 if it has none."""
    if grid is None:
        return plan
    if plan.tokens is None:
        return replace(plan, tokens=np.zeros((len(plan.partner), *grid), np.uint8))
    down, across = (n // g for n, g in zip(grid, plan.tokens.shape[1:], strict=True))
    return replace(plan, tokens=plan.tokens.repeat(down, axis=1).repeat(across, axis=2))
