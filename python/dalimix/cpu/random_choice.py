"""The loops of kernels/random_choice.cu for the CPU."""

from __future__ import annotations

import numpy as np

from dalimix.cpu.compiled import compiled, inlined
from dalimix.cpu.parts.plan import Drawn, Rows, couple, stay
from dalimix.cpu.planner import drawn as as_drawn
from dalimix.cpu.planner import rows as as_rows
from dalimix.cpu.planner import run_planner
from dalimix.cpu.registry import PLANNERS, planner
from dalimix.draws import Draws
from dalimix.methods import Method, RandomChoice
from dalimix.mix_plan import MixPlan
from dalimix.scene import Scene


@planner
def random_choice(method: RandomChoice, draws: Draws, scene: Scene, into: MixPlan | None = None) -> MixPlan:
    """Take each image's row from the plan of the method that is chosen for it."""
    grid = method.token_grid if into is None or into.tokens is None else into.tokens.shape[-2:]
    plans = MixPlan.empty(np, len(method.members), len(draws.partner), grid=grid)  # one per member, side by side
    if plans.tokens is not None:
        plans.tokens.fill(0)  # of members that write none
    for index, (member, drawn) in enumerate(zip(method.members, draws.members, strict=True)):
        PLANNERS[member.name](member, drawn, scene, _slot(plans, index, member))
    return run_planner(_random_choice, method, draws, (np.array(method.cumulative), as_rows(plans)), into)


def chosen_members(method: RandomChoice, draws: Draws) -> np.ndarray:
    """Int64 [B]: which of the members is chosen for each image."""
    members = np.empty(len(draws.partner), np.int64)
    _choose(as_drawn(method, draws), np.array(method.cumulative), members)
    return members


def _slot(plans: MixPlan, index: int, member: Method) -> MixPlan:
    """Where a member writes its plan; a planner that knows no tokens gets none."""
    arrays = plans.arrays() if member.token_grid else plans.arrays()[:5]
    return MixPlan(*(array[index] for array in arrays))


@compiled
def _random_choice(drawn: Drawn, cumulative: np.ndarray, plans: Rows, rows: Rows) -> None:
    for at in range(len(drawn.permutation)):
        i, _, row = couple(drawn, at)
        stay(rows, i)
        chosen = _chosen(cumulative, drawn.uniform[row, 0])
        if not drawn.uniform[row, 1] < drawn.prob:
            continue
        rows.partner[i], rows.blend[i] = plans.partner[chosen, i], plans.blend[chosen, i]
        _copy(plans.weight[chosen, i], rows.weight[i])
        _copy(plans.box[chosen, i], rows.box[i])
        _copy(plans.shift[chosen, i], rows.shift[i])
        for y in range(rows.tokens.shape[1]):
            _copy(plans.tokens[chosen, i, y], rows.tokens[i, y])


@inlined
def _copy(source: np.ndarray, target: np.ndarray) -> None:
    for k in range(len(target)):
        target[k] = source[k]


@compiled
def _choose(drawn: Drawn, cumulative: np.ndarray, members: np.ndarray) -> None:
    for at in range(len(members)):
        i, _, row = couple(drawn, at)
        members[i] = _chosen(cumulative, drawn.uniform[row, 0])


@inlined
def _chosen(cumulative: np.ndarray, u: float) -> int:
    chosen = 0
    while chosen < len(cumulative) - 1 and cumulative[chosen] <= u:
        chosen += 1
    return chosen
