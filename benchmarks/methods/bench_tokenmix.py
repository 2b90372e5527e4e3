"""What TokenMix costs: its masks alone, and pipelines with and without it.

    python -m benchmarks.methods.bench_tokenmix [--device cpu|gpu] [--data FOLDER] [--json FILE]

* The masks: `plan` without heatmaps, which also makes shares and all else that a plan has, against the authors' loop of
  `tokenmix_way.py`. There a whole batch has one mask; so the loop is timed once with a mask for every sample, as
  ours has them, and once with one for the batch. Its masks are moved to the device. Before it is timed, both are
  checked to make masks of the same kind.
* The pipelines: from files to finished batches, as `dalimix demo` times them; the photographs are the demo's, if there
  is no --data, and the heatmaps random: what they show costs nothing.

`bench_kernels.py` has the cut of stored heatmaps.
"""

from __future__ import annotations

import argparse
import os
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.harness import (
    Rows,
    array_module_of,
    finish,
    image_rows,
    parser,
    photographs,
    run_script,
    shown,
    take_turns,
    timer_of,
)
from benchmarks.methods.masks import GRID, SIZE, bench_masks
from dali_ops.assets.photos import make_photo_folder
from dali_ops.bench.random_heatmaps import random_store
from dali_ops.bench.throughput import Setting, TimedPipeline
from dali_ops.cli.arguments import positive
from dali_ops.device import usable_device
from dali_ops.loader.heatmap_sources import StoreSource
from dali_ops.loader.pipelines import NO_HEATMAPS
from dali_ops.sources import ImageFolder
from dalimix import TokenMix

BATCHES = {"cpu": 6, "gpu": 100}  # of the pipelines, in a round
PLAIN, MIXED, GUIDED = "no mixing", "TokenMix", "TokenMix + HeatmapStore"
PAIRS = [(PLAIN, PLAIN), (MIXED, PLAIN), (GUIDED, PLAIN), (GUIDED, MIXED)]


def main() -> None:
    options = arguments()
    device = usable_device(options.device)
    xp, timer = array_module_of(device), timer_of(device)
    rows = shown(bench_masks(xp, timer, options.samples, options.rounds))
    batches = options.batches or BATCHES[device]
    rows += shown(bench_pipelines(options.data, device, options.batch_size, batches, options.rounds))
    kernels = "the CUDA kernels of TokenMix, and the pipelines on a GPU (no GPU used)"
    finish(options.json, device, rows, [kernels] if device == "cpu" else [])


def arguments() -> argparse.Namespace:
    options = parser(__doc__)
    options.add_argument("--samples", type=positive, default=256, help="masks at a time")
    options.add_argument("--batch-size", type=positive, default=64, help="of the pipelines")
    options.add_argument("--batches", type=positive, help="of a pipeline at a time; default: 6, on a GPU 100")
    options.add_argument("--data", type=Path, help="folder with a sub-folder for each class; default: the demo's")
    return options.parse_args()


# ---- the pipelines, with as many threads as there are cores


def bench_pipelines(data: Path | None, device: str, batch: int, batches: int, rounds: int) -> Rows:
    with TemporaryDirectory() as place:
        folder = ImageFolder.scan(data) if data else photographs(make_photo_folder, place, batch)
        heatmap_source = StoreSource(random_store(Path(place) / "store", folder, GRID), TokenMix())
        kinds = {PLAIN: (None, NO_HEATMAPS), MIXED: (TokenMix(), NO_HEATMAPS), GUIDED: (TokenMix(), heatmap_source)}
        setting = Setting(folder, device, batch, os.cpu_count() or 1, SIZE)
        runs = [partial(milliseconds, TimedPipeline(setting, *kind), batches) for kind in kinds.values()]
        spans = take_turns(runs, rounds, lambda run, index: run())
    return image_rows(kinds, PAIRS, batch, spans)


def milliseconds(pipeline: TimedPipeline, batches: int) -> float:
    """Of one batch."""
    return pipeline.turn(batches).seconds / batches * 1e3


if __name__ == "__main__":
    run_script(main)
