"""Maps as a store keeps them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dalimix.stores.format import DTYPES


def check_finite(heatmaps: np.ndarray, files: Sequence[str], first: int) -> None:
    """Refuse maps that are not finite, by the name of the first; ``heatmaps[0]`` is of ``files[first]``."""
    wrong = np.flatnonzero(~np.isfinite(heatmaps).all(axis=(1, 2)))
    if len(wrong):
        raise ValueError(f"the heatmap of {files[first + wrong[0]]!r} has NaN or infinite values")


def quantised(heatmaps: np.ndarray, dtype: str) -> np.ndarray:
    """Finite maps [n, g, g] as they are kept. A map of nothing but 0 stays so."""
    exact = heatmaps.astype(np.float64)
    largest = np.abs(exact).max(axis=(1, 2), keepdims=True)
    scaled = exact / np.where(largest > 0, largest, 1)
    if dtype == "uint8":
        scaled = np.rint(np.maximum(scaled, 0) * 255)
    return scaled.astype(DTYPES[dtype])
