"""Loaders of small images, told flatly what a test is about, and what reads heatmaps off their images."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dali_ops import Eval, ImageFolderLoader, Loader, Runtime, Targets, Train
from dali_ops.sources import Source
from dalimix import Method
from dalimix.heatmaps import AttentionHeatmap, SnapshotHeatmap
from tests.support.data.coloured import CLASSES
from tests.support.models.vits import vit


def grouped(*, training: bool = True, **flat: Any) -> dict[str, Any]:
    """The keywords of a loader, from those of its transform, targets and runtime beside its own."""
    kinds = {"transform": Train if training else Eval, "targets": Targets, "runtime": Runtime}
    keywords: dict[str, Any] = {}
    for name, kind in kinds.items():
        own = {field.name: flat.pop(field.name) for field in fields(kind) if field.name in flat}
        if own or kind is Eval:
            keywords[name] = kind(**own)
    return {**keywords, **flat}


def sized(loader: Loader, size: Any) -> Train | Eval:
    """The transform of a loader, with another size."""
    return replace(loader.transform, size=size)


def load(source: Path | Source, method: Method | None = None, batch_size: int = 4, **options: Any) -> Loader:
    """Of a source, or of an image folder by its path."""
    kind: Any = Loader if isinstance(source, Source) else ImageFolderLoader
    options = {"size": 32, "num_threads": 2, "device": "cpu", "seed": 1, "mean": 0, "std": 1, **options}
    return kind(source, method, batch_size, **grouped(**options))


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
