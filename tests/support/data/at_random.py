"""Images and generators of random numbers, the same ones in every run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest


def random_images(size: int, height: int, width: int, channels: int = 3, dtype: str = "uint8", seed: int = 0) -> Any:
    """Images [B, H, W, C]: bytes for uint8, for the floating types the same as 0 … 255 and some that are not whole."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (size, height, width, channels), np.uint8)
    return images if dtype == "uint8" else (images + rng.random(images.shape) - 0.5).astype(dtype)


def seeded(seed: int = 3) -> Any:
    """A generator of torch's."""
    torch = pytest.importorskip("torch")
    return torch.Generator().manual_seed(seed)
