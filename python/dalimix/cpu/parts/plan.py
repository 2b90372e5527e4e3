"""The loops of kernels/include/plan.cuh for the CPU: who is mixed with whom, whose random numbers decide, and rows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dalimix.cpu.compiled import inlined

# The numbers of dalimix.methods.base. Compiled code is kept for the sources in this folder alone, so they stand here.
FLIP, ROLL = 1, 2
PAIR, BATCH = 1, 2


class Drawn(NamedTuple):
    """The random numbers of a batch, and what the method says about all of them."""

    permutation: np.ndarray  # int32 [B]
    lam: np.ndarray  # float32 [B]; empty if the method has none
    uniform: np.ndarray  # float32 [B, columns]
    pairing: int
    per: int
    prob: float


class Rows(NamedTuple):
    """The arrays of a `MixPlan`."""

    partner: np.ndarray  # int32 [B]
    weight: np.ndarray  # float32 [B, 2]
    blend: np.ndarray  # float32 [B]
    box: np.ndarray  # int32 [B, 4]
    shift: np.ndarray  # int32 [B, 2]
    tokens: np.ndarray  # uint8 [B, gh, gw]; [B, 0, 0] if the plan has none


@inlined
def couple(drawn: Drawn, at: int) -> tuple[int, int, int]:
    """Return (the image that receives, the image that gives, the row of the draws that decides) for turn `at`.

    For mutual random pairs, neighbours in the permutation become partners: turn `at` then plans image permutation[at],
    so that no turn has to search its own place.
    """
    size, sample = len(drawn.permutation), at
    if drawn.pairing == FLIP:
        partner = size - 1 - at
    elif drawn.pairing == ROLL:
        partner = size - 1 if at == 0 else at - 1
    elif drawn.per == PAIR:
        neighbour = at ^ 1
        sample = int(drawn.permutation[at])
        partner = int(drawn.permutation[neighbour if neighbour < size else at])
    else:
        partner = int(drawn.permutation[at])
    if drawn.per == BATCH:
        return sample, partner, 0
    return sample, partner, min(sample, partner) if drawn.per == PAIR else sample


@inlined
def mixes(drawn: Drawn, sample: int, partner: int, row: int) -> bool:
    """Return whether an image is mixed at all, which the last column of `uniform` decides."""
    return partner != sample and np.float64(drawn.uniform[row, -1]) < drawn.prob


@inlined
def below(u: float, n: int) -> int:
    """⌊u n⌋ for u in [0, 1), in float64 so that no rounding reaches n."""
    return min(int(np.float64(u) * n), n - 1)


@inlined
def stay(rows: Rows, sample: int) -> None:
    """Write the row of an image that stays as it is."""
    rows.partner[sample] = sample
    rows.weight[sample, 0], rows.weight[sample, 1] = 1, 0
    rows.blend[sample] = 1
    for k in range(4):  # written out, as assigning to slices takes seconds to compile
        rows.box[sample, k] = 0
    rows.shift[sample, 0], rows.shift[sample, 1] = 0, 0
    _, down, across = rows.tokens.shape
    for y in range(down):
        for x in range(across):
            rows.tokens[sample, y, x] = 0


@inlined
def begin(drawn: Drawn, at: int, rows: Rows) -> tuple[int, int, int, bool]:
    """Write what every row begins with, and return (sample, partner, row of the draws, whether it is mixed).

    Until a planner writes more, an image that is mixed differs only in its partner from one that stays as it is.
    """
    sample, partner, row = couple(drawn, at)
    stay(rows, sample)
    mixed = mixes(drawn, sample, partner, row)
    if mixed:
        rows.partner[sample] = partner
    return sample, partner, row, mixed


@inlined
def label_share(rows: Rows, sample: int, share: float) -> None:
    """Write the label shares of an image whose partner has `share` of the pixels."""
    rows.weight[sample, 0] = np.float32(1.0 - share)
    rows.weight[sample, 1] = np.float32(share)
