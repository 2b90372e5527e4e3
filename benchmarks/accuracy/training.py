"""One training: the same images, first weights and order of a seed, whatever it minimises."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.accuracy.data import CLASSES, Split, split
from benchmarks.accuracy.measures import measures
from benchmarks.accuracy.models import ARCHITECTURES
from benchmarks.accuracy.table import PLAIN
from benchmarks.accuracy.ways import WAYS, Training
from examples.small_vit import optimizer_and_schedule

MIXING = 1 << 32  # added to the seed, so that mixing does not draw the numbers of the order once more


@dataclass(frozen=True)
class Settings:
    """The same for all models and methods; chosen by the time that a training takes, before any result was seen.

    Attributes:
        per_class: images of a class that are trained on.
        epochs: how often each of them is seen.
        batch: images in a batch; what is left of an epoch is a smaller one.
        lr: the highest learning rate of AdamW; it rises for a tenth of the steps and falls as a cosine.
    """

    per_class: int = 10
    epochs: int = 150
    batch: int = 50
    lr: float = 0.002

    @property
    def steps(self) -> int:
        return self.epochs * -(-CLASSES * self.per_class // self.batch)


def rows_of(name: str, seed: int, methods: list[str], settings: Settings) -> Iterator[dict[str, Any]]:
    """Yield a row for each method; the first training is without mixing, since it is the teacher of some methods."""
    if not methods:
        return
    found, teacher = split(seed, settings.per_class), None
    for method in [PLAIN, *(method for method in methods if method != PLAIN)]:
        start = time.process_time()
        model = trained(name, seed, method, found, teacher, settings)
        teacher = teacher or model
        if method in methods:
            told = measures(model, found.test_images, found.test_labels)
            yield {"model": name, "method": method, "seed": seed, **told, "CPU s": time.process_time() - start}


def trained(
    name: str, seed: int, method: str, found: Split, teacher: nn.Module | None, settings: Settings
) -> nn.Module:
    """A model, in eval mode."""
    kind = ARCHITECTURES[name]
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        model = kind.make()
    mixing = torch.Generator().manual_seed(MIXING + seed)
    loss = WAYS[method](Training(kind, model, teacher, found, mixing))
    optimizer, schedule = optimizer_and_schedule(model, settings.lr, settings.steps)
    for index in batches(len(found.labels), seed, settings):
        optimizer.zero_grad()
        loss(index).backward()
        optimizer.step()
        schedule.step()
    return model.eval()


def batches(images: int, seed: int, settings: Settings) -> Iterator[Tensor]:
    """The indices of all batches of a training, in an order by the seed."""
    order = torch.Generator().manual_seed(seed)
    for _ in range(settings.epochs):
        yield from torch.randperm(images, generator=order).split(settings.batch)
