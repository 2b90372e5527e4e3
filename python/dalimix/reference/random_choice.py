"""Twin of kernels/random_choice.cu."""

from __future__ import annotations

import numpy as np

import dalimix.reference as reference
from dalimix.draws import Draws
from dalimix.methods import RandomChoice
from dalimix.mix_plan import MixPlan
from dalimix.reference.couples import couples, unmixed


def random_choice(method: RandomChoice, draws: Draws, size: tuple[int, int]) -> MixPlan:
    """Take each image's row from the plan of the method that is chosen for it."""
    members = zip(method.members, draws.members, strict=True)
    plans = [getattr(reference, member.name)(member, drawn, size) for member, drawn in members]
    row = couples(method, draws.partner).row
    u = draws.uniform[row].astype(np.float64)
    chosen = np.searchsorted(np.array(method.cumulative[:-1]), u[:, 0], side="right")
    plan = unmixed(len(row))
    for target, *sources in zip(plan.arrays(), *(p.arrays() for p in plans), strict=True):
        rows = np.stack(sources)[chosen, np.arange(len(row))]
        mixed = (u[:, 1] < method.prob).reshape(-1, *[1] * (rows.ndim - 1))
        np.copyto(target, rows, where=mixed)
    return plan
