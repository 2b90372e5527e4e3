"""Twin of kernels/top_patches.cuh."""

from __future__ import annotations

import numpy as np


def top_patches(heatmaps: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Uint8 [B, g, g]: 1 in the `count`, int [B], highest cells; ties go to the lower index, NaN is ranked last."""
    flat = heatmaps.reshape(len(heatmaps), -1)
    order = np.argsort(-flat, axis=1, kind="stable")  # NumPy, too, puts NaN last
    chosen = (np.arange(flat.shape[1]) < count[:, None]).astype(np.uint8)
    tokens = np.empty_like(chosen)
    np.put_along_axis(tokens, order, chosen, axis=1)
    return tokens.reshape(heatmaps.shape)
