"""What the launchers of all planning kernels share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dalimix.arrays import Array, array_module
from dalimix.cuda import loader
from dalimix.draws import Draws
from dalimix.methods import Method
from dalimix.methods.base import PAIRINGS, PERS
from dalimix.mix_plan import MixPlan

THREADS = 128


def launch_planner(
    method: Method,
    draws: Draws,
    own: Sequence[Any] = (),
    into: MixPlan | None = None,
    per_image: int | None = None,
    **defines: int,
) -> MixPlan:
    """Launch the kernel ``method.name``.

    Args:
        method: the method to plan.
        draws: its random numbers.
        own: the kernel's own arguments, after those that all planners share.
        into: arrays to write to; None: new ones.
        per_image: how many threads work on an image, as one block; None: one, which shares a block with others.
        defines: preprocessor symbols of the kernel.
    """
    size, columns = draws.uniform.shape
    plan = into or MixPlan.empty(array_module(draws.uniform), size, grid=method.token_grid)
    lam = draws.uniform if draws.lam is None else draws.lam  # any pointer will do where no λ is read
    shared = (draws.partner, lam, draws.uniform, np.int32(columns), np.int32(size), *couple_arguments(method))
    blocks = (size + THREADS - 1) // THREADS if per_image is None else size
    loader.load_kernel(method.name, **defines)((blocks,), (per_image or THREADS,), (*shared, *own, *plan.arrays()))
    return plan


def tokens_of(method: Method, draws: Draws, into: MixPlan | None) -> tuple[MixPlan, tuple[int, ...]]:
    """Return the plan to write to, and how many of its tokens there are along each axis of a cell of `method`.

    They are finer than the method's cells where a `RandomChoice` brings the tokens of several methods together.
    """
    plan = into or MixPlan.empty(array_module(draws.uniform), len(draws.partner), grid=method.token_grid)
    assert plan.tokens is not None  # as in the plans of all methods with a grid
    assert method.token_grid is not None
    return plan, tuple(n // g for n, g in zip(plan.tokens.shape[-2:], method.token_grid, strict=True))


def flips(mirror: Array | None, unused: Array) -> Array:
    """Return `mirror` as the kernels read it; without one, an unused array to point to."""
    return unused if mirror is None else array_module(mirror).ascontiguousarray(mirror, "int32")


def couple_arguments(method: Method) -> tuple[np.int32, np.int32, np.float64]:
    """Return pairing, per and prob as kernels/include/plan.cuh takes them."""
    return np.int32(PAIRINGS.index(method.partners)), np.int32(PERS.index(method.per)), np.float64(method.prob)
