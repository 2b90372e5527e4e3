"""Twin of kernels/mixup.cu."""

from __future__ import annotations

import numpy as np

from dalimix.draws import Draws
from dalimix.methods import Mixup
from dalimix.mix_plan import MixPlan
from dalimix.reference.couples import couples, mixes, unmixed


def mixup(method: Mixup, draws: Draws, size: tuple[int, int]) -> MixPlan:
    """Plan λ xᵢ + (1 − λ) xⱼ."""
    couple = couples(draws.partner, method.pairing, method.per)
    mixed = mixes(couple, draws, method)
    lam = draws.lam[couple.row]
    plan = unmixed(len(lam))
    np.copyto(plan.partner, couple.partner, where=mixed)
    np.copyto(plan.blend, lam, where=mixed)
    np.copyto(plan.weight, np.stack([lam, np.float32(1) - lam], axis=1), where=mixed[:, None])
    return plan
