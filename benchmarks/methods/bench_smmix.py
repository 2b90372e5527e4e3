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
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.harness import (
    Rows,
    finish,
    image_rows,
    one_step,
    parser,
    photographs,
    run_script,
    shown,
    take_turns,
)
from benchmarks.methods.regions import bench_mixing
from benchmarks.training.smmix_training import LOADING, PIPELINE, PLAIN, STEP, STORE, Setting, ways
from dali_ops.assets.photos import make_photo_folder
from dali_ops.bench.random_heatmaps import random_store
from dali_ops.cli.arguments import positive
from dali_ops.device import usable_device
from dali_ops.sources import ImageFolder

BATCHES, STEPS = {"cpu": 16, "gpu": 64}, {"cpu": 6, "gpu": 50}  # of the training; steps in a round
PAIRS = [(LOADING, PLAIN), (PLAIN, PLAIN), (STEP, PLAIN), (PIPELINE, PLAIN), (STORE, PLAIN), (PIPELINE, STEP)]


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
