"""An image folder in which every image has one bright block, and a store whose maps are 1 in that block."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dali_ops.sources import ImageFolder
from tests.support.stores import store_of

image = pytest.importorskip("PIL.Image")
GRID, BLOCK = 16, 4  # cells of the map along each side; cells of the block


def marked_folder(root: Path, count: int = 24) -> Path:
    """PNGs of three sizes in two classes, dark but for the block; the store's path."""
    rng, maps = np.random.default_rng(0), np.zeros((count, GRID, GRID), np.float32)
    for k, heatmap in enumerate(maps):
        (root / "abc"[k % 2]).mkdir(parents=True, exist_ok=True)
        top, left = rng.integers(0, GRID - BLOCK + 1, 2)
        heatmap[top : top + BLOCK, left : left + BLOCK] = 1
        cell = (6, 8), (8, 6), (10, 10)
        pixels = np.kron(heatmap, np.ones(cell[k % 3])) * 255
        image.fromarray(pixels.astype(np.uint8)).convert("RGB").save(root / "abc"[k % 2] / f"{k:02}.png")
    path, folder = root.parent / "store", ImageFolder.scan(root)
    order = [int(name[2:4]) for name in folder.names]
    store_of(path, folder.names, maps[order], "a bright block")
    return path
