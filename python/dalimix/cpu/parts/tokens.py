"""What planners of tokens share: heatmaps of the images as mirrored, and the share of the pixels that tokens cover."""

from __future__ import annotations

import numpy as np

from dalimix.cpu.resample_heatmaps import resample_heatmaps
from dalimix.mix_plan import edges
from dalimix.scene import Scene


def seen_heatmaps(scene: Scene, grid: int | None = None) -> np.ndarray:
    """The heatmaps of the images after mirroring, resampled to [B, grid, grid]; None: on their own grid."""
    assert scene.heatmaps is not None
    maps = scene.heatmaps if grid is None else resample_heatmaps(scene.heatmaps, grid)
    if scene.mirror is None:
        return maps
    return np.where(scene.mirror[:, None, None] != 0, maps[:, :, ::-1], maps)


def pixel_share(tokens: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Float64 [B]: the share of the pixels that the tokens cover."""
    heights, widths = (np.diff(edges(n, g)) for n, g in zip(size, tokens.shape[1:], strict=True))
    shares: np.ndarray = (tokens * np.outer(heights, widths)).sum(axis=(1, 2)) / (float(size[0]) * size[1])
    return shares
