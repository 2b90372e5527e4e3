"""A folder of eleven PNGs of noise in three classes, and stores of heatmaps of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dali_ops.sources import ImageFolder
from dali_ops.stores import build_store
from dalimix.stores import HeatmapStore

SIDE, COUNT, BATCH = 16, 11, 4


NAMES = [f"{kind}/{k}.png" for kind, count in {"a b": 4, "bäume": 6, "c": 1}.items() for k in range(count)]
LABELS = [0] * 4 + [1] * 6 + [2]


def image_folder(root: Path) -> Path:
    """Eleven PNGs of noise in three classes; they need no resizing."""
    for name, pixels in zip(NAMES, pictures(), strict=True):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(root / name)
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return image_folder(tmp_path / "images")


def pictures() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (COUNT, SIDE, SIDE, 3), np.uint8)


def brightness(images: Any) -> Any:
    """A provider: sums over 4 × 4 cells, whole numbers."""
    return images.long().sum(1).unflatten(2, (4, -1)).unflatten(1, (4, -1)).sum((2, 4)).double()


def by_place(images: Any) -> Any:
    """A provider whose maps tell where in its batch an image stood, and of how many."""
    maps = torch.zeros(len(images), 2, 2)
    maps[:, 0, 0], maps[:, 0, 1], maps[:, 1, 1] = 40, torch.arange(len(images)), images[:, 0, 0, 0] / 10
    maps[:, 1, 0] = images.float().mean() / 10
    return maps


def build(root: Path, path: Path, provider: Any = brightness, **options: Any) -> HeatmapStore:
    options = {"grid": 4, "model": "sums", "size": SIDE, "batch_size": BATCH, "num_threads": 2, **options}
    return build_store(ImageFolder.scan(root), provider, path, **options)


def contents(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.iterdir()}


def interrupting(times: int) -> Callable[[int], None]:
    """An `advance` that is interrupted when it is called so often."""
    calls = []

    def advance(count: int) -> None:
        calls.append(count)
        if len(calls) == times:
            raise KeyboardInterrupt

    return advance
