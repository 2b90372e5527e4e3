"""For torchrun: every rank trains its replica by DDP with SMMix, by a snapshot of it in a loader of its own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from dali_ops import ImageFolderLoader
from dali_ops.imagenet import IMAGENET_MEAN, IMAGENET_STD
from dalimix import SMMix
from dalimix.heatmaps import AttentionHeatmap, SnapshotHeatmap
from dalimix.heatmaps.base import ModelHeatmap
from dalimix.torch import SMMixBatch, SMMixLoss, TokenClassifier
from tests.support.data.coloured import COLOURS
from tests.support.loaders import grouped
from tests.support.models.versions import IMAGES
from tests.support.models.vits import SIDE, Small

EVERY, EPOCHS, BATCH = 2, 2, 8  # three steps each


def a_provider() -> ModelHeatmap:
    torch.manual_seed(0)
    model = Small(len(COLOURS), patch=8)
    return AttentionHeatmap(model, "layers.layers.1.self_attn", mean=IMAGENET_MEAN, std=IMAGENET_STD)


def batches(root: str, snapshot: Any) -> Iterator[Any]:
    """Every rank has its share."""
    runtime: Any = {"size": SIDE, "device": "cpu", "num_threads": 1, "seed": 0}
    loader = ImageFolderLoader(root, SMMix(grid=4), BATCH, **grouped(heatmaps=snapshot, keep_info=True, **runtime))
    for _ in range(EPOCHS):
        for images, targets in loader:
            yield SMMixBatch(images, targets, **vars(loader.batch_info))


def train(root: str) -> Any:
    """What a rank ends with: the snapshot's and the replica's view of some images, and the trained weights."""
    provider = a_provider()
    ddp = DistributedDataParallel(TokenClassifier(provider.model.train(), "layers", "head"))
    snapshot, optimizer = SnapshotHeatmap(provider, every=EVERY), torch.optim.SGD(ddp.parameters(), 0.05)
    for batch in batches(root, snapshot):
        losses = SMMixLoss()(ddp(batch.images, batch.plan.tokens), batch)
        assert all(loss > 0 for loss in losses), losses
        optimizer.zero_grad()
        losses.total.backward()
        optimizer.step()
        snapshot.step()
    return snapshot.observe(IMAGES), provider.observe(IMAGES), weights_of(ddp)


def weights_of(model: nn.Module) -> Any:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def main(root: str) -> None:
    distributed.init_process_group("gloo")
    told, expected, weights = train(root)
    assert all(torch.equal(one, other) for one, other in zip(told, expected, strict=True)), "the snapshot lags behind"
    assert not torch.allclose(weights, weights_of(a_provider().model), atol=1e-3), "nothing was learned"
    everywhere = [torch.empty_like(weights) for _ in range(distributed.get_world_size())]
    distributed.all_gather(everywhere, weights)
    assert torch.equal(*everywhere), "the replicas differ"
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1])
