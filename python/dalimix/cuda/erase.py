"""Launches kernels/erase.cu."""

from __future__ import annotations

import numpy as np

from dalimix.arrays import Array, array_module
from dalimix.cuda import loader
from dalimix.cuda.constants import constant
from dalimix.cuda.planner import THREADS
from dalimix.erase import Erase, aspects
from dalimix.erase_plan import ErasePlan


def erase(method: Erase, key: Array, size: tuple[int, int]) -> ErasePlan:
    """Plan the boxes of every image; see `dalimix.plan_erase`."""
    xp, (fewest, most) = array_module(key), method.counts
    plan = ErasePlan.empty(xp, len(key), most, key, method.fill)
    numbers = np.int32(len(key)), *map(np.float64, (method.prob, *method.area))
    arguments = key, constant(xp, aspects(method.ratio), "float64"), *numbers, *map(np.int32, (fewest, most, *size))
    blocks = (len(key) + THREADS - 1) // THREADS
    loader.load_kernel("erase")((blocks,), (THREADS,), (*arguments, plan.box))
    return plan
