"""The loop of kernels/erase.cu for the CPU."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from dalimix.cpu.compiled import compiled, inlined
from dalimix.cpu.parts.erased import BOXES, WHETHER
from dalimix.cpu.parts.philox import philox, unit
from dalimix.cpu.planner import ready
from dalimix.erase import Erase, aspects
from dalimix.erase_plan import ErasePlan

TRIES = 10  # for each box
ASPECTS_BITS = 10


def erase(method: Erase, key: np.ndarray, size: tuple[int, int]) -> ErasePlan:
    """Plan the boxes of every image; see `dalimix.plan_erase`."""
    plan = ErasePlan.empty(np, len(key), method.counts[1], key, method.fill)
    _erase(ready(key), _aspects(method.ratio), method.prob, *method.area, method.counts[0], *size, plan.box)
    return plan


@lru_cache(maxsize=64)
def _aspects(ratio: tuple[float, float]) -> np.ndarray:
    return ready(np.array(aspects(ratio)))


@compiled
def _erase(
    keys: np.ndarray,  # uint32 [B, 2]
    aspects: np.ndarray,  # float64 [1024]
    prob: float,
    smallest: float,
    largest: float,
    fewest: int,
    height: int,
    width: int,
    boxes: np.ndarray,  # int32 [B, most, 4], written
) -> None:
    most = boxes.shape[1]
    for i in range(len(keys)):
        key = (keys[i, 0], keys[i, 1])
        random = philox((0, 0, 0, WHETHER), key)
        drawn = fewest + int(unit(random[1]) * (most - fewest + 1))
        count = drawn if unit(random[0]) < prob else 0
        pixels = np.float64(height) * width / drawn  # for each box
        for k in range(most):
            top, left, high, wide = 0, 0, 0, 0
            if k < count:
                top, left, high, wide = _box(key, k, smallest * pixels, largest * pixels, aspects, height, width)
            boxes[i, k, 0], boxes[i, k, 1], boxes[i, k, 2], boxes[i, k, 3] = top, left, top + high, left + wide


@inlined
def _box(
    key: tuple[int, int], k: int, smallest: float, largest: float, aspects: np.ndarray, height: int, width: int
) -> tuple[int, int, int, int]:
    """Return (top, left, height, width) of box k, whose area in pixels is drawn from `smallest` to `largest`."""
    for tries in range(TRIES):
        random = philox((tries, k, 0, BOXES), key)
        area = smallest + unit(random[0]) * (largest - smallest)
        aspect = aspects[random[1] >> np.uint64(32 - ASPECTS_BITS)]
        high, wide = int(np.rint(np.sqrt(area * aspect))), int(np.rint(np.sqrt(area / aspect)))
        if high < height and wide < width:
            top = int(unit(random[2]) * (height - high + 1))
            left = int(unit(random[3]) * (width - wide + 1))
            return top, left, high, wide
    return 0, 0, 0, 0
