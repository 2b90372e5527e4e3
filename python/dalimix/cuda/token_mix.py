"""Launches kernels/token_mix.cu."""

from __future__ import annotations

from functools import cache
from types import ModuleType

import numpy as np

from dalimix.arrays import Array, array_module
from dalimix.cuda.constants import constant, current_device
from dalimix.cuda.planner import flips, launch_planner, tokens_of
from dalimix.cuda.registry import planner
from dalimix.cuda.resample_heatmaps import resample_heatmaps
from dalimix.draws import Draws
from dalimix.methods import TokenMix
from dalimix.methods.token_mix import aspects
from dalimix.mix_plan import MixPlan
from dalimix.scene import Scene

WARP = 32  # one lane for each row of tokens


@planner
def token_mix(method: TokenMix, draws: Draws, scene: Scene, into: MixPlan | None = None) -> MixPlan:
    """Plan tokens of xⱼ on xᵢ, and their weights in the labels."""
    xp, unused = array_module(draws.uniform), draws.partner
    heatmaps = unused if scene.heatmaps is None else resample_heatmaps(scene.heatmaps, method.grid)
    mirror = flips(scene.mirror, unused)
    plan, (finer, _) = tokens_of(method, draws, into)
    fixed = -1 if method.fixed_tokens is None else method.fixed_tokens
    numbers = (np.int32(n) for n in (fixed, method.added_tokens, *scene.size, method.grid, finer))
    own = (draws.key, _aspects(xp, current_device(xp)), heatmaps, mirror, *numbers)
    given = {"HEATMAPS": int(scene.heatmaps is not None), "MIRROR": int(scene.mirror is not None)}
    return launch_planner(method, draws, own, plan, per_image=WARP, BLOCKS=int(method.blocks), **given)


@cache
def _aspects(xp: ModuleType, device: int) -> Array:
    """Float64 [1024] on this device, which is the current one."""
    return constant(xp, aspects(), "float64")
