"""Loaders of small images, and what reads heatmaps off them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dali_ops import ImageFolderLoader
from dalimix import Method
from dalimix.heatmaps import AttentionHeatmap, SnapshotHeatmap
from tests.support.data.coloured import CLASSES
from tests.support.loaders import grouped
from tests.support.models.vits import vit


def load(root: Path, method: Method | None = None, batch_size: int = 4, **options: Any) -> ImageFolderLoader:
    options = {"size": 32, "num_threads": 2, "device": "cpu", "seed": 1, "mean": 0, "std": 1, **options}
    return ImageFolderLoader(root, method, batch_size, **grouped(**options))


def class_of(images: Tensor) -> Tensor:
    """The class whose colour each image [B, 3, H, W] has on average."""
    colours = torch.tensor(list(CLASSES.values()), dtype=torch.float32)
    return torch.cdist(images.float().mean((2, 3)), colours).argmin(1)


def redness(images: Tensor, labels: Tensor) -> Tensor:
    """A provider: four cells of the images, hotter where there is more red than blue; class 2 has the red ones."""
    assert labels.shape == (len(images),)
    assert torch.equal(class_of(images), labels)
    return torch.nn.functional.adaptive_avg_pool2d(images[:, 0].float() - images[:, 2].float(), 2)


def brightness(images: Tensor) -> Tensor:
    """A provider: mean brightness of 4 × 4 cells, of whole numbers, so that it is the same for the mirror image."""
    cells = images.long().sum(1).unflatten(2, (4, -1)).unflatten(1, (4, -1)).sum((2, 4))
    return cells.double()


def by_attention() -> SnapshotHeatmap:
    return SnapshotHeatmap(AttentionHeatmap(vit(), "blocks.1", mean=120.0, std=60.0))
