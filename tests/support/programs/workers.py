"""What the workers of a DataLoader run: a module of its own, so that a worker that starts anew imports little."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from dalimix import Mixup
from dalimix.torch import BatchMixer

BATCH, WORKERS = 4, 2


class Items(Dataset):
    """One batch for each worker."""

    def __len__(self) -> int:
        return BATCH * WORKERS

    def __getitem__(self, index: Any) -> Any:
        return torch.full((3, 8, 8), float(index)), index


class Collate:
    """Mixes, and tells the random numbers."""

    def __init__(self, mixer: Any) -> None:
        self.mixer = mixer

    def __call__(self, items: Any) -> Any:
        images, targets, plan = self.mixer(*default_collate(items))
        return images, targets, tuple(plan.blend.tolist())


def mixer(generator: Any = None) -> Any:
    return BatchMixer(Mixup(pairing="roll"), BATCH * WORKERS, return_plan=True, generator=generator)


def drawn(context: Any, generator: Any, epochs: Any, **options: Any) -> Any:
    """The random numbers of every batch of some epochs."""
    collate = Collate(mixer(generator))
    workers = {"num_workers": WORKERS, "multiprocessing_context": context, "collate_fn": collate, **options}
    loader = DataLoader(Items(), BATCH, **workers)
    batches = [batch for _ in range(epochs) for batch in loader]
    assert all(images.shape == (BATCH, 3, 8, 8) and targets.shape == (BATCH, 8) for images, targets, _ in batches)
    return [blend for _, _, blend in batches]


def checksum(made: Any, images: Tensor, labels: Tensor) -> float:
    """Of the heatmaps that a provider gives, or of what a step mixes."""
    batch = made(images, labels)
    return (batch if isinstance(batch, torch.Tensor) else batch.images).double().square().sum().item()


def checksum_to(made: Any, images: Tensor, labels: Tensor, results: Any) -> None:
    torch.set_num_threads(1)
    results.put(checksum(made, images, labels))
