"""Twin of kernels/attentive_cutmix.cu."""

from __future__ import annotations

import numpy as np

from dalimix.draws import Draws
from dalimix.methods import AttentiveCutMix
from dalimix.mix_plan import MixPlan
from dalimix.reference.couples import below, couples, mixed_plan
from dalimix.reference.resample_heatmaps import resample_heatmaps
from dalimix.reference.top_patches import top_patches
from dalimix.scene import Scene


def attentive_cutmix(method: AttentiveCutMix, draws: Draws, scene: Scene) -> MixPlan:
    """Plan the cells of xⱼ with the highest heatmap, pasted onto xᵢ at their own places."""
    couple = couples(method, draws.partner)
    fewest, most = method.tops
    top = fewest + below(draws.uniform[couple.row, 0], most - fewest + 1)
    tokens = top_patches(_seen(scene, method.grid)[couple.partner], top)
    share = _pixels(tokens, scene.size) / (float(scene.size[0]) * scene.size[1])
    weight = np.stack([1.0 - share, share], axis=1).astype(np.float32)
    return mixed_plan(method, draws, couple, tokens=tokens, weight=weight)


def _seen(scene: Scene, grid: int) -> np.ndarray:
    """The heatmaps [B, grid, grid] of the images as they look after mirroring."""
    assert scene.heatmaps is not None
    _refuse_blind(scene.heatmaps)
    maps = resample_heatmaps(scene.heatmaps, grid)
    if scene.mirror is None:
        return maps
    return np.where(scene.mirror[:, None, None] != 0, maps[:, :, ::-1], maps)


def _refuse_blind(heatmaps: np.ndarray) -> None:
    blind = np.flatnonzero(np.isnan(heatmaps).all(axis=(1, 2)))
    if len(blind):
        raise ValueError(f"heatmap of sample {blind[0]} is NaN all over: expected a number in some cell at least")


def _pixels(tokens: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Int64 [B]: how many pixels the tokens cover."""
    grid = tokens.shape[1]
    heights, widths = (np.diff(np.arange(grid + 1) * n // grid) for n in size)
    return (tokens * np.outer(heights, widths)).sum(axis=(1, 2))
