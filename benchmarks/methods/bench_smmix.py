"""What SMMix costs: the choice of its regions, alone and with the pixels, and the training of a transformer with it.

    python -m benchmarks.methods.bench_smmix [--device cpu|gpu] [--data FOLDER] [--json FILE]

* The regions: `plan` with ready heatmaps, a side for every sample or one for the batch, against the authors' way of
  `smmix_way.py`, which has one side for the batch. To give every image a side of its own, that is run image by
  image, and once for each side on the images that have it; of the two, the faster one is the one to compare with. Ours
  also makes boxes, shifts and the shares of the labels. On the CPU all have one thread.
* The pixels: `plan` and `compose` of float32 CHW images, against the same ways, which unfold the images and fold them
  again.
* The training: steps of the examples' small vision transformer on the images of a folder, the demo's photographs if
  there is no --data; without mixing, and with every image mixed by SMMix. In the step, where the model under training
  first looks at the unmixed images (`SMMixStep`). In the pipeline, where a copy of it does, which is refreshed every
  few steps (`SnapshotHeatmap`). And in the pipeline by stored heatmaps, here random ones, since what they show costs
  nothing; without predictions, so that the loss has one part less. "only loading" is the pipeline without mixing and
  without training: where it takes about as long as with training, the step waits for the images.

A pipeline runs ahead of the training, and so does the model's copy in it. That hides its time only where something is
idle: room on the GPU beside the step, or cores. On a CPU, step and pipeline want the same cores, and the copy's look at
the images costs about as much as the model's own.

Every result is checked before it is timed. Inputs are rotated.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from torch import Tensor

import dalimix
from benchmarks.harness import (
    UNITS,
    Rows,
    Run,
    array_module_of,
    compare,
    drawn,
    each,
    finish,
    image_rows,
    one_step,
    parser,
    photographs,
    row,
    run_script,
    shown,
    take_turns,
    timer_of,
)
from benchmarks.methods.smmix_way import BySide, ImageByImage, OneSide, Regions
from benchmarks.tensors import on_host, one_thread, tensor
from benchmarks.training.smmix_training import LOADING, PIPELINE, PLAIN, SIZE, STEP, STORE, Setting, ways
from dali_ops.assets.photos import make_photo_folder
from dali_ops.bench.random_heatmaps import random_store
from dali_ops.cli.arguments import positive
from dali_ops.device import usable_device
from dali_ops.sources import ImageFolder
from dalimix import SMMix

GRID = 14
BATCHES, STEPS = {"cpu": 16, "gpu": 64}, {"cpu": 6, "gpu": 50}  # of the training; steps in a round
DIFFERENT = 8  # batches of heatmaps
PEERS = (("batch", OneSide()), ("sample", OneSide()), ("sample", ImageByImage()), ("sample", BySide()))
PAIRS = [(LOADING, PLAIN), (PLAIN, PLAIN), (STEP, PLAIN), (PIPELINE, PLAIN), (STORE, PLAIN), (PIPELINE, STEP)]
Job = tuple[str, int, str, Run, Run]  # what, batch, name of the baseline, ours, the baseline


def main() -> None:
    options = arguments()
    device = usable_device(options.device)
    rows = shown(bench_mixing(device, options.samples, options.images, options.rounds))
    rows += shown(bench_training(options, device))
    left_out = "the CUDA kernels, and the training on a GPU (no GPU used)"
    finish(options.json, device, rows, [left_out] if device == "cpu" else [])


def arguments() -> argparse.Namespace:
    options = parser(__doc__)
    options.add_argument("--samples", type=even, default=256, help="heatmaps at a time")
    options.add_argument("--images", type=even, default=64, help="at a time, where the pixels are mixed, too")
    options.add_argument("--batch-size", type=positive, help="of the training; default: 16 on the CPU, 64 on a GPU")
    options.add_argument("--every", type=positive, default=10, help="steps between two refreshes of the model's copy")
    options.add_argument("--steps", type=positive, help="of a training at a time; default: 6, on a GPU 50")
    options.add_argument("--data", type=Path, help="folder with a sub-folder for each class; default: the demo's")
    return options.parse_args()


def even(text: str) -> int:
    """Of an odd batch, one image would be its own partner; the authors' code refuses it."""
    if int(text) < 2 or int(text) % 2:
        raise argparse.ArgumentTypeError(f"must be an even number from 2, got {text}")
    return int(text)


# ---- the regions, alone and with the pixels


@dataclass(frozen=True, eq=False)
class Batch:
    """Heatmaps and random numbers; for the peers, the same heatmaps, and the sides that follow from the numbers."""

    method: SMMix
    draws: dalimix.Draws
    heatmaps: Any

    def plan(self) -> dalimix.MixPlan:
        return dalimix.plan(self.method, self.draws, (SIZE, SIZE), self.heatmaps)

    @cached_property
    def told(self) -> tuple[Tensor, list[int]]:
        rows = on_host(self.plan().tokens).any(2).sum(1)
        return tensor(self.heatmaps), rows.tolist()


def batches(per: str, count: int, xp: Any) -> list[Batch]:
    """Of different heatmaps: whole numbers, so that the sums are exact in whatever order they are made."""
    method, rng = SMMix(per=per, pairing="flip"), np.random.default_rng(0)
    maps = [rng.integers(0, 1 << 16, (count, GRID, GRID)).astype(np.float32) for _ in range(DIFFERENT)]
    return [Batch(method, drawn(method, count, seed, xp), xp.asarray(own)) for seed, own in enumerate(maps)]


def bench_mixing(device: str, samples: int, images: int, rounds: int) -> Rows:
    xp, timer = array_module_of(device), timer_of(device)
    rows = []
    with one_thread():  # as ours has
        for what, batch, other, ours, its in chain(plan_jobs(xp, samples), pixel_jobs(xp, images)):
            rows.append(row(what, batch, other, compare(ours, its, rounds, timer), UNITS[device], {}))
    return rows


def plan_jobs(xp: Any, samples: int) -> Iterator[Job]:
    for per, peer in PEERS:
        for batch in batches(peer.per, samples, xp):
            check_cells(batch.plan(), peer.plan(*batch.told), peer.name)
        own = batches(per, samples, xp)
        its = partial(each, [batch.told for batch in own], lambda told, peer=peer: peer.plan(*told))
        yield f"plan, per {per}", samples, peer.name, partial(each, own, Batch.plan), its


def pixel_jobs(xp: Any, count: int) -> Iterator[Job]:
    rng = np.random.default_rng(0)
    images = [xp.asarray(rng.random((count, 3, SIZE, SIZE), np.float32)) for _ in range(3)]
    for per, peer in PEERS:
        ours, its = mixing_runs(peer, images, batches(peer.per, count, xp))
        assert np.array_equal(on_host(ours(0)), on_host(its(0))), f"{peer.name}: the results differ"
        yield f"plan + compose, per {per}", count, peer.name, *mixing_runs(peer, images, batches(per, count, xp))


def mixing_runs(peer: OneSide, images: list[Any], own: list[Batch]) -> tuple[Run, Run]:
    """Ours and the peer's, from images and heatmaps to mixed images."""
    pairs = list(zip(images, own[: len(images)], strict=True))
    given = [(tensor(pixels), batch.told) for pixels, batch in pairs]
    ours = partial(each, pairs, lambda pair: dalimix.compose(pair[0], pair[1].plan(), layout="CHW"))
    return ours, partial(each, given, lambda pair: peer.compose(pair[0], peer.plan(*pair[1])))


def check_cells(plan: dalimix.MixPlan, its: Regions, name: str) -> None:
    """Every cell shows the same cell of the partner, or none."""
    tokens = on_host(plan.tokens).reshape(len(plan.partner), -1)
    assert np.array_equal(tokens != 0, on_host(its.source_mask)), f"{name}: other cells are written"
    down, across = (on_host(plan.shift) * GRID // SIZE).T[:, :, None]
    read = np.arange(GRID**2) + down * GRID + across + np.arange(len(tokens))[:, None] * GRID**2
    order = np.argsort(on_host(its.written))
    assert np.array_equal(read[tokens != 0], on_host(its.read)[order]), f"{name}: other cells are read"


# ---- steps of the training


def bench_training(options: argparse.Namespace, device: str) -> Rows:
    batch, steps = options.batch_size or BATCHES[device], options.steps or STEPS[device]
    with TemporaryDirectory() as place:
        folder = ImageFolder.scan(options.data) if options.data else photographs(make_photo_folder, place, batch)
        store = random_store(Path(place) / "store", folder)
        made = ways(Setting(folder, store, options.every, batch, device))
        spans = take_turns(list(made.values()), options.rounds, partial(one_step, device, steps))
    return image_rows(made, PAIRS, batch, spans)


if __name__ == "__main__":
    run_script(main)
