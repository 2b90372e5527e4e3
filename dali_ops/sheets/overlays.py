"""Colour over photographs: where images mix, what is taken from where, and what the teacher sees."""

from __future__ import annotations

import numpy as np

from dali_ops.sheets.page import GIVER, rgb

# The black end of the colour map would hide the photograph, its white end looks like paper.
DARKEST, BRIGHTEST = 0.15, 0.95
FRAME = 3  # pixels
FAINTEST, STRONGEST = 0.35, 0.8  # opacity of the coldest and of the hottest place


def mix_overlay(receiver: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Uint8 [H, W, 3]: the receiver in pale grey, under the giver's colour as strong as its share.

    Args:
        receiver: uint8 [H, W, 3].
        where: float32 [H, W] in [0, 1], the giver's share.
    """
    alpha = 0.85 * where[..., None]
    return _rounded((90 + 0.6 * _grey(receiver)) * (1 - alpha) + np.array(rgb(GIVER)) * alpha)


def framed(giver: np.ndarray, box: tuple[int, ...]) -> np.ndarray:
    """Uint8 [H, W, 3]: the giver with a frame in its colour around `box`, (y0, x0, y1, x1)."""
    top, left, bottom, right = box
    inner = slice(FRAME, -FRAME)
    picture: np.ndarray = giver.copy()
    picture[top:bottom, left:right] = rgb(GIVER)
    picture[top:bottom, left:right][inner, inner] = giver[top:bottom, left:right][inner, inner]
    return picture


def heat_overlay(giver: np.ndarray, heatmap: np.ndarray) -> np.ndarray:
    """Uint8 [H, W, 3]: the giver in grey, under the map from cold to hot, each map on a scale of its own.

    Args:
        giver: uint8 [H, W, 3].
        heatmap: float32 [gh, gw]; where it is not finite, nothing lies over the photograph.
    """
    finite = np.isfinite(heatmap)
    shown = _smooth(finite, giver.shape[:2])
    # Cells without a value take no part in the mean of their neighbours.
    heat = _smooth(np.where(finite, _normalised(heatmap), 0), giver.shape[:2]) / np.maximum(shown, 1e-6)
    opacity = FAINTEST + (STRONGEST - FAINTEST) * heat
    alpha = (shown * opacity)[..., None]
    return _rounded((60 + 0.72 * _grey(giver)) * (1 - alpha) + _colors(heat) * alpha)


def heat_key() -> np.ndarray:
    """Uint8 [11, 33, 3]: the colours from cold to hot, as they look over a middle grey."""
    return heat_overlay(np.full((11, 33, 3), 160, np.uint8), np.linspace(0, 1, 33, dtype=np.float32)[None])


def _normalised(heatmap: np.ndarray) -> np.ndarray:
    """Float64 [gh, gw]: 0 at the least and 1 at the greatest finite value; 0 everywhere if there is but one value."""
    values = heatmap.astype(np.float64)  # the span of float32 numbers may exceed float32
    finite = values[np.isfinite(values)]
    if not finite.size or finite.min() == finite.max():
        return np.zeros(heatmap.shape)
    return np.asarray((values - finite.min()) / (finite.max() - finite.min()))


def _smooth(grid: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Float32 [H, W]: the cells' values, bilinear between the centres of the cells."""
    from PIL import Image

    return np.asarray(Image.fromarray(grid.astype(np.float32)).resize(size[::-1], Image.Resampling.BILINEAR))


def _colors(heat: np.ndarray) -> np.ndarray:
    """[H, W, 3] from 0 to 255. Inferno, as equal steps of heat look equal in it and its hot end is not the giver's."""
    from matplotlib import colormaps

    return 255 * np.asarray(colormaps["inferno"](DARKEST + (BRIGHTEST - DARKEST) * heat))[..., :3]


def _grey(image: np.ndarray) -> np.ndarray:
    return np.asarray(image @ [0.299, 0.587, 0.114])[..., None]


def _rounded(image: np.ndarray) -> np.ndarray:
    return np.asarray(image.round(), np.uint8)
