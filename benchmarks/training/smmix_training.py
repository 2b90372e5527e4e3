"""What `bench_smmix.py` trains: a small vision transformer, without mixing and with SMMix in three places."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from benchmarks.harness import endless
from dali_ops import Loader, Runtime, Train
from dali_ops.device import DEVICES
from dali_ops.imagenet import IMAGENET_MEAN, IMAGENET_STD
from dali_ops.sources import ImageFolder
from dalimix import Method, SMMix
from dalimix.heatmaps import AttentionHeatmap, SnapshotHeatmap
from dalimix.stores import HeatmapStore
from dalimix.torch import SMMixBatch, SMMixLoss, SMMixStep, TokenClassifier
from examples.small_vit import SmallViT

SIZE = 224  # pixels: 14 × 14 tokens, the grid of SMMix()
METHOD = SMMix(pairing="roll")  # so that no image is its own partner
LAST_ATTENTION = "layers.layers.3.self_attn"  # of SmallViT
LOADING, PLAIN = "only loading", "no mixing"
STEP, PIPELINE, STORE = "SMMix in the step", "SMMix in the pipeline", "SMMix + HeatmapStore"


@dataclass(frozen=True)
class Setting:
    """What all ways have in common.

    Attributes:
        folder: the images.
        store: a heatmap for each.
        every: steps between two refreshes of a snapshot.
        batch: images.
        device: "cpu" or "gpu".
    """

    folder: ImageFolder
    store: HeatmapStore
    every: int
    batch: int
    device: str

    def loader(self, method: Method | None = None, **mixing: Any) -> Loader:
        options = {"transform": Train(SIZE), "runtime": Runtime(self.device), "seed": 0}
        return Loader(self.folder, method, self.batch, **mixing, **options)


def ways(setting: Setting) -> dict[str, Callable[[int], object]]:
    """Each does one step, whose number makes no difference; the trainings have models and pipelines of their own."""
    sources = {PLAIN: plain, STEP: in_step, PIPELINE: in_pipeline, STORE: from_store}
    trainings = {name: Training(source, setting) for name, source in sources.items()}
    for name, training in trainings.items():
        check(name, next(training.batches))
    loaded = endless(setting.loader())
    return {LOADING: lambda _: next(loaded), **trainings}


class Training:
    """Every call is a step, on one of the batches that ``source(setting, model)`` gives."""

    def __init__(self, source: Callable[[Setting, SmallViT], Iterator[Any]], setting: Setting) -> None:
        torch.manual_seed(0)
        model = SmallViT(len(setting.folder.classes), SIZE).to(DEVICES[setting.device])
        self.classifier, self.loss = TokenClassifier(model, "layers", "head"), SMMixLoss()
        self.optimizer = torch.optim.AdamW(model.parameters(), 0.001)
        self.batches = source(setting, model)

    def __call__(self, _index: int) -> None:
        loss = self.loss_of(next(self.batches))
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    def loss_of(self, batch: SMMixBatch | tuple[Tensor, Tensor]) -> Tensor:
        if isinstance(batch, SMMixBatch):
            return self.loss(self.classifier(batch.images, batch.plan.tokens), batch).total
        images, labels = batch
        return cross_entropy(self.classifier(images), labels)


def plain(setting: Setting, model: SmallViT) -> Iterator[tuple[Tensor, Tensor]]:
    return endless(setting.loader())


def in_step(setting: Setting, model: SmallViT) -> Iterator[SMMixBatch]:
    mix = SMMixStep(AttentionHeatmap(model, LAST_ATTENTION), len(setting.folder.classes), METHOD)
    return (mix(images, labels) for images, labels in endless(setting.loader()))


def in_pipeline(setting: Setting, model: SmallViT) -> Iterator[SMMixBatch]:
    provider = AttentionHeatmap(model, LAST_ATTENTION, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    snapshot = SnapshotHeatmap(provider, setting.every)
    for batch in mixed(setting, snapshot):
        yield batch
        snapshot.step()


def from_store(setting: Setting, model: SmallViT) -> Iterator[SMMixBatch]:
    return mixed(setting, setting.store)


def mixed(setting: Setting, heatmaps: SnapshotHeatmap | HeatmapStore) -> Iterator[SMMixBatch]:
    loader = setting.loader(METHOD, heatmaps=heatmaps, keep_info=True)
    for images, targets in endless(loader):
        yield SMMixBatch(images, targets, **vars(loader.batch_info))


def check(name: str, batch: Any) -> None:
    """Plain batches are class indices; in mixed ones, the tokens that show partners are worth their share."""
    if name == PLAIN:
        assert batch[1].dtype == torch.int64, f"{name}: the labels are mixed"
        return
    shares = batch.plan.source_mask.flatten(1).float().mean(1)
    assert shares.min() > 0, f"{name}: an image is not mixed"
    assert torch.allclose(shares, batch.plan.weight[:, 1]), f"{name}: the labels are worth something else"
    assert torch.allclose(batch.targets.sum(1), torch.ones_like(shares)), f"{name}: targets do not add up to 1"
    assert (batch.predictions is None) == (name == STORE), f"{name}: predictions where there are none, or none"
