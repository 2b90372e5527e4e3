"""The loops of kernels/include/plan.cuh for the CPU: partners, deciding random numbers, and the plan without mixing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from dalimix.draws import Draws
from dalimix.methods import Method
from dalimix.mix_plan import MixPlan


@dataclass(frozen=True)
class Couples:
    """For every image, its partner and the row of the draws that decides about it; int32 [B] each."""

    partner: np.ndarray
    row: np.ndarray


def couples(method: Method, permutation: np.ndarray) -> Couples:
    size = len(permutation)
    own = np.arange(size, dtype=np.int32)
    partner = _partners(permutation, own, method.partners, mutual=method.per == "pair")
    row = {"sample": own, "pair": np.minimum(own, partner), "batch": np.zeros_like(own)}[method.per]
    return Couples(partner, row)


def _partners(permutation: np.ndarray, own: np.ndarray, pairing: str, mutual: bool) -> np.ndarray:
    if pairing == "flip":
        return own[::-1]
    if pairing == "roll":
        return np.roll(own, 1)
    if not mutual:
        return permutation
    neighbour = own ^ 1
    neighbour = np.where(neighbour < len(own), neighbour, own)
    partner = np.empty_like(own)
    partner[permutation] = permutation[neighbour]
    return partner


def mixes(couple: Couples, draws: Draws, method: Method) -> np.ndarray:
    """Bool [B]: which images are mixed. The last column of `uniform` decides."""
    chance = draws.uniform[couple.row, -1].astype(np.float64)
    mixed: np.ndarray = (couple.partner != np.arange(len(chance))) & (chance < method.prob)
    return mixed


def below(u: np.ndarray, n: Any) -> np.ndarray:
    """⌊u n⌋ for u in [0, 1), in float64 so that rounding never reaches n."""
    floors: np.ndarray = np.minimum((u.astype(np.float64) * n).astype(np.int32), np.int32(n) - np.int32(1))
    return floors


def mixed_plan(method: Method, draws: Draws, couple: Couples, **rows: np.ndarray) -> MixPlan:
    """The plan with `rows` (fields of `MixPlan`, [B, …]) where an image is mixed; the other images stay as they are."""
    mixed = mixes(couple, draws, method)
    plan = unmixed(len(mixed), method.token_grid)
    for name, values in {"partner": couple.partner, **rows}.items():
        where = mixed.reshape(-1, *[1] * (values.ndim - 1))
        np.copyto(getattr(plan, name), values, where=where, casting="same_kind")
    return plan


def unmixed(size: int, grid: tuple[int, int] | None) -> MixPlan:
    """The plan that leaves every image as it is, with tokens on `grid`; None: without tokens."""
    plan = MixPlan.empty(np, size, grid=grid)
    plan.partner[:] = np.arange(size)
    plan.weight[:] = 1, 0
    plan.blend[:] = 1
    plan.box[:] = 0
    plan.shift[:] = 0
    if plan.tokens is not None:
        plan.tokens[:] = 0
    return plan
