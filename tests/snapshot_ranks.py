"""For torchrun: every rank trains its replica by DDP, with a snapshot of it in a pipeline of its own."""

import torch
from nvidia.dali import fn, pipeline_def
from nvidia.dali.plugin.pytorch import DALIGenericIterator
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

import dali_ops
from dalimix import AttentiveCutMix
from dalimix.heatmaps import SnapshotHeatmap
from tests.conftest import random_images
from tests.guided import a_provider
from tests.pipelines import BATCH, SIZE

EVERY, STEPS = 2, 6


@pipeline_def(batch_size=BATCH, num_threads=1, device_id=None, seed=1)
def pipeline(snapshot, rank):
    pictures = list(random_images(BATCH, *SIZE, seed=rank))
    images = fn.external_source(lambda: pictures, layout="HWC", batch=True)
    labels = fn.external_source(lambda: list(torch.arange(BATCH, dtype=torch.int32)[:, None].numpy()), batch=True)
    heatmaps, predictions = dali_ops.model_heatmaps(images, snapshot, predictions=True)
    options = {"num_classes": BATCH, "mean": 120.0, "std": 60.0, "output_layout": "CHW"}
    mixed, targets = dali_ops.mix(images, labels, AttentiveCutMix(3, grid=4), heatmaps=heatmaps, **options)
    return mixed, targets, predictions


def train(rank):
    """What rank `rank` ends with: the snapshot's and the replica's view of one image, and the trained weights."""
    provider = a_provider()
    ddp = DistributedDataParallel(provider.model.train())
    snapshot, optimizer = SnapshotHeatmap(provider, every=EVERY), torch.optim.SGD(ddp.parameters(), 0.05)
    batches = DALIGenericIterator(pipeline(snapshot, rank), ["images", "targets", "predictions"])
    for _, (batch,) in zip(range(STEPS), batches, strict=False):
        scores = ddp(batch["images"])
        loss = (
            torch.nn.functional.cross_entropy(scores, batch["targets"])
            + (scores - batch["predictions"]).square().mean()
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        snapshot.step()
    image = torch.from_numpy(random_images(1, *SIZE, seed=7)).permute(0, 3, 1, 2)
    return snapshot.observe(image), provider.observe(image), torch.cat([p.flatten() for p in ddp.parameters()])


def main():
    distributed.init_process_group("gloo")
    rank = distributed.get_rank()
    before = torch.cat([p.flatten() for p in a_provider().model.parameters()])
    told, expected, weights = train(rank)
    assert all(torch.equal(one, other) for one, other in zip(told, expected, strict=True)), "the snapshot lags behind"
    assert not torch.allclose(weights, before, atol=1e-3), "nothing was learned"
    everywhere = [torch.empty_like(weights) for _ in range(distributed.get_world_size())]
    distributed.all_gather(everywhere, weights.detach())
    assert torch.equal(*everywhere), "the replicas differ"
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
