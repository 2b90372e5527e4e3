"""The loop of kernels/cutmix.cu for the CPU."""

from __future__ import annotations

import numpy as np

from dalimix.cpu.compiled import compiled, inlined
from dalimix.cpu.parts.plan import Drawn, Rows, begin, below, label_share
from dalimix.cpu.planner import run_planner
from dalimix.cpu.registry import planner
from dalimix.draws import Draws
from dalimix.methods import CutMix
from dalimix.mix_plan import MixPlan
from dalimix.scene import Scene

Sides = tuple[int, int]  # the shortest and the longest; (-1, -1): the area comes from λ


@planner
def cutmix(method: CutMix, draws: Draws, scene: Scene, into: MixPlan | None = None) -> MixPlan:
    """Plan the box that is cut from xⱼ and pasted onto xᵢ."""
    height, width = scene.size
    own = (height, width, method.sides(height), method.sides(width), method.labels_follow_area)
    return run_planner(_cutmix, method, draws, own, into)


@compiled
def _cutmix(drawn: Drawn, height: int, width: int, down: Sides, across: Sides, by_area: bool, rows: Rows) -> None:
    for at in range(len(drawn.permutation)):
        i, _, row, mixed = begin(drawn, at, rows)
        if not mixed:
            continue
        box, lam, u = rows.box[i], drawn.lam[row], drawn.uniform[row]
        if down[1] >= 0:
            box[0], box[2] = _side_between(u[0], u[2], down, height)
            box[1], box[3] = _side_between(u[1], u[3], across, width)
        else:
            box[0], box[2] = _side_of_area(u[0], lam, height)
            box[1], box[3] = _side_of_area(u[1], lam, width)
        label_share(rows, i, np.float64(box[2] - box[0]) * (box[3] - box[1]) / (np.float64(height) * width))
        if not by_area:
            rows.weight[i, 0], rows.weight[i, 1] = lam, np.float32(1) - lam


@inlined
def _side_of_area(u: float, lam: float, n: int) -> tuple[int, int]:
    """√(1 − λ) of the n pixels around a centre drawn anywhere, cut off at the border (equation 2 of the paper)."""
    half, centre = int(n * np.sqrt(1.0 - np.float64(lam))) // 2, below(u, n)
    return max(centre - half, 0), min(centre + half, n)


@inlined
def _side_between(u: float, place: float, sides: Sides, n: int) -> tuple[int, int]:
    """A side drawn between two lengths, both reachable, and placed anywhere in the n pixels."""
    side = sides[0] + below(u, sides[1] - sides[0] + 1)
    start = below(place, n - side + 1)
    return start, start + side
