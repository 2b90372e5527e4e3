"""The loops of kernels/cutmix.cu for the CPU."""

from __future__ import annotations

import numpy as np

from dalimix.cpu.parts.couples import below, couples, mixed_plan
from dalimix.cpu.registry import planner
from dalimix.draws import Draws
from dalimix.methods import CutMix
from dalimix.mix_plan import MixPlan
from dalimix.scene import Scene


@planner
def cutmix(method: CutMix, draws: Draws, scene: Scene) -> MixPlan:
    """Plan the box that is cut from xⱼ and pasted onto xᵢ."""
    couple = couples(method, draws.partner)
    lam, u = draws.lam[couple.row], draws.uniform[couple.row]
    box = _box_of_area(lam, u, scene.size) if method.ratio_minmax is None else _box_of_sides(method, u, scene.size)
    return mixed_plan(method, draws, couple, box=box, weight=_weight(method, lam, box, scene.size))


def _box_of_area(lam: np.ndarray, u: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """√(1 − λ) of each side around a centre drawn anywhere, cut off at the border (equation 2 of the paper)."""
    r = np.sqrt(1.0 - lam.astype(np.float64))
    sides = [((n * r).astype(np.int32) // 2, below(u[:, k], n), n) for k, n in enumerate(size)]
    low = [np.clip(centre - half, 0, n) for half, centre, n in sides]
    high = [np.clip(centre + half, 0, n) for half, centre, n in sides]
    return np.stack(low + high, axis=1)


def _box_of_sides(method: CutMix, u: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Sides drawn between two lengths, both reachable; placed anywhere inside the image."""
    low, high = [], []
    for k, n in enumerate(size):
        shortest, longest = method.sides(n)
        side = shortest + below(u[:, k], longest - shortest + 1)
        low.append(np.minimum((u[:, 2 + k].astype(np.float64) * (n - side + 1)).astype(np.int32), n - side))
        high.append(low[k] + side)
    return np.stack(low + high, axis=1)


def _weight(method: CutMix, lam: np.ndarray, box: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if not method.labels_follow_area:
        return np.stack([lam, np.float32(1) - lam], axis=1)
    area = (box[:, 2] - box[:, 0]).astype(np.float64) * (box[:, 3] - box[:, 1])
    share = area / (float(size[0]) * size[1])
    return np.stack([1.0 - share, share], axis=1).astype(np.float32)
