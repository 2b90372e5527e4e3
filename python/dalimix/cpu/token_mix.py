"""The loops of kernels/token_mix.cu for the CPU."""

from __future__ import annotations

import numpy as np

from dalimix.cpu.parts.couples import couples, mixed_plan
from dalimix.cpu.parts.token_mask import token_mask
from dalimix.cpu.parts.tokens import pixel_share, seen_heatmaps
from dalimix.cpu.registry import planner
from dalimix.draws import Draws
from dalimix.methods import TokenMix
from dalimix.mix_plan import MixPlan
from dalimix.scene import Scene


@planner
def token_mix(method: TokenMix, draws: Draws, scene: Scene) -> MixPlan:
    """Plan tokens of xⱼ on xᵢ, and their weights in the labels."""
    couple = couples(method, draws.partner)
    tokens = _tokens(method, draws, couple.row)
    if scene.heatmaps is None:
        share = pixel_share(tokens, scene.size)
        weight = np.stack([1.0 - share, share], axis=1)
    else:
        seen = seen_heatmaps(scene, method.grid)
        weight = np.stack([_activation(seen, 1 - tokens), _activation(seen[couple.partner], tokens)], axis=1)
    return mixed_plan(method, draws, couple, tokens=tokens, weight=weight.astype(np.float32))


def _tokens(method: TokenMix, draws: Draws, row: np.ndarray) -> np.ndarray:
    """Uint8 [B, grid, grid]; images that share a row of the draws share a mask, which is made only once."""
    deciding, of_sample = np.unique(row, return_inverse=True)
    wanted = np.minimum(method.grid**2, _tokens_of_lam(method, draws, deciding) + method.added_tokens)
    masks = token_mask(draws.key[deciding], wanted, method.grid, method.blocks)  # type: ignore[index]
    return masks[of_sample]


def _tokens_of_lam(method: TokenMix, draws: Draws, deciding: np.ndarray) -> np.ndarray:
    """Int32 [n]: ⌊(1 − λ) grid²⌋ for rows of the draws."""
    if method.fixed_tokens is not None:
        return np.full(len(deciding), method.fixed_tokens, np.int32)
    counts: np.ndarray = ((1.0 - draws.lam[deciding].astype(np.float64)) * method.grid**2).astype(np.int32)
    return counts


def _activation(heatmaps: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """Float64 [B]: share of each heatmap inside the tokens (equation 5 of the paper)."""
    least = np.finfo(np.float32).smallest_normal
    values = np.where(heatmaps >= least, heatmaps, 0).astype(np.float64)
    with np.errstate(invalid="ignore"):  # infinity / infinity is NaN
        return _in_order(values * tokens) / (_in_order(values) + 1e-8)


def _in_order(values: np.ndarray) -> np.ndarray:
    """Sums of [B, g, g], added in the order of the kernel: along each row, then down the rows."""
    return np.add.accumulate(np.add.accumulate(values, axis=2)[:, :, -1], axis=1)[:, -1]
