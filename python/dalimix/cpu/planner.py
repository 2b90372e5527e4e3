"""What all planners for the CPU share."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from dalimix.cpu.parts.plan import Drawn, Rows
from dalimix.cpu.parts.tokens import Edges
from dalimix.draws import Draws
from dalimix.methods import Method
from dalimix.methods.base import PAIRINGS, PERS
from dalimix.mix_plan import MixPlan, edges

NOTHING = np.empty(0, np.float32)


def run_planner(
    loop: Callable[..., None], method: Method, draws: Draws, own: tuple[Any, ...], into: MixPlan | None
) -> MixPlan:
    """Call ``loop(drawn, *own, rows)``, which writes the plan.

    Args:
        loop: the compiled loop.
        method: the method to plan.
        draws: its random numbers.
        own: the loop's own arguments, between those that all planners share.
        into: arrays to write to; None: new ones.
    """
    plan = into or MixPlan.empty(np, len(draws.partner), grid=method.token_grid)
    loop(drawn(method, draws), *own, rows(plan))
    return plan


def drawn(method: Method, draws: Draws) -> Drawn:
    """The random numbers as the loops take them."""
    lam = NOTHING if draws.lam is None else draws.lam
    permutation, lam, uniform = map(ready, (draws.partner, lam, draws.uniform))
    return Drawn(permutation, lam, uniform, PAIRINGS.index(method.partners), PERS.index(method.per), float(method.prob))


def rows(plan: MixPlan) -> Rows:
    """The arrays of a plan as the loops take them."""
    tokens = np.empty((*plan.partner.shape, 0, 0), np.uint8) if plan.tokens is None else plan.tokens
    return Rows(plan.partner, plan.weight, plan.blend, plan.box, plan.shift, tokens)


@lru_cache(maxsize=64)
def edges_of(size: tuple[int, int], grid: tuple[int, int]) -> Edges:
    """Return where the rows and columns of a grid begin in images of `size`, (H, W)."""
    return Edges(*(ready(edges(n, g)) for n, g in zip(size, grid, strict=True)))


def flips(mirror: np.ndarray | None, size: int) -> np.ndarray:
    """uint8 [size]: `mirror` as the loops read it; zeros without one."""
    return ready(np.zeros(size, np.uint8) if mirror is None else (mirror != 0).view(np.uint8))


def ready(array: np.ndarray) -> np.ndarray:
    """The array, contiguous and read-only: whatever comes in, a loop is compiled once for each dtype."""
    array = np.ascontiguousarray(array).view()
    array.flags.writeable = False
    return array
