"""The whole pipeline, from JPEG files to finished batches: images/s with every method, against none.

    python -m benchmarks.pipeline.bench_pipeline [--device cpu|gpu] [--batch 64 …] [--threads 2 …]
        [--data FOLDER] [--json FILE]

As `dalimix bench` measures it, which has fewer of these: every batch size with every number of threads; every method
as it is, and where it reads heatmaps, with those of a store and with those of a model in the pipeline; while Python
rests, and while a thread of pure Python keeps the GIL busy. "no mixing" is DALI's `crop_mirror_normalize` in the place
of the mixing; its own row compares it with itself, and shows how reliable the speedups are.

The photographs have the usual size and weight of ImageNet's, if there is no --data, and are in the system's memory. The
heatmaps of the store are random: what they show costs nothing. The CPU time is that of the whole process, but for the
thread that keeps the GIL busy.

Before it is timed, every pipeline is checked: what it mixes is mixed, and the rest is as without mixing.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.harness import Rows, finish, parser, run_script, shown
from dali_ops.assets.photos import make_imagenet_like_folder
from dali_ops.bench.compare import Entry, Timing, entries, measure, some_images
from dali_ops.bench.random_heatmaps import random_store
from dali_ops.bench.throughput import Setting, TimedPipeline
from dali_ops.cli.arguments import positive
from dali_ops.device import default_threads, usable_device
from dali_ops.sources import ImageFolder
from dalimix import METHODS

BATCH_SIZES, BATCHES = {"cpu": [16, 64], "gpu": [64, 256]}, {"cpu": 10, "gpu": 50}

CHECKED = 64  # images, at least


def main() -> None:
    options = arguments()
    device = usable_device(options.device)
    with TemporaryDirectory() as place:
        folder = ImageFolder.scan(options.data or make_imagenet_like_folder(Path(place) / "photos"))
        sizes = list(product(options.batch or BATCH_SIZES[device], options.threads or some_threads()))
        images = some_images(folder, max(batch for batch, _ in sizes))
        store = random_store(Path(place) / "store", images)
        methods = {name: METHODS[name]() for name in options.method}
        found = entries(methods, store, teacher=not options.no_teacher, device=device)
        settings = [Setting(images, device, batch, threads, options.size) for batch, threads in sizes]
        timing = Timing(options.rounds, options.batches or BATCHES[device], busy_gil=True)
        rows = [row for setting in settings for row in bench(setting, found, timing)]
    finish(options.json, device, rows, list(left_out(options, device)))


def arguments() -> argparse.Namespace:
    options = parser(__doc__, rounds=7)
    options.add_argument("--batch", type=positive, nargs="+", help="default: 16 and 64, on a GPU 64 and 256")
    options.add_argument("--threads", type=positive, nargs="+", help="default: 1, and as many as cores, 8 at most")
    options.add_argument("--batches", type=positive, help="that are timed in a turn; default: 10, on a GPU 50")
    options.add_argument("--method", nargs="+", choices=METHODS, default=list(METHODS), help="default: all")
    options.add_argument("--size", type=positive, default=224)
    options.add_argument("--data", type=Path, help="folder with a sub-folder for each class")
    options.add_argument("--no-teacher", action="store_true", help="on a CPU the teacher takes most of the time")
    return options.parse_args()


def some_threads() -> list[int]:
    return sorted({1, default_threads()})


def bench(setting: Setting, found: Sequence[Entry], timing: Timing) -> Rows:
    for entry in found:
        check(setting, entry)
    return shown([dict(row) for row in measure([setting], found, timing)])


def check(setting: Setting, entry: Entry) -> None:
    """Images are the same as without mixing, mirrored or not, of the same class; or mixed, as nearly all should be."""
    plain, labels = some_batches(TimedPipeline(setting, None))
    images, targets = some_batches(TimedPipeline(setting, entry.method, entry.heatmap_source()))
    classes = targets if entry.method is None else targets.argmax(1)
    same = np.array([is_same(*pair) for pair in zip(plain, images, strict=True)])
    alone = 1 if entry.method is None else 1 / setting.batch_size + 0.25  # by chance, one of a batch is its own partner
    assert np.mean(same) <= alone, f"{entry.name}: {np.mean(same):.0%} of the images are not mixed"
    assert entry.method is not None or same.all(), f"{entry.name}: the images differ"
    assert np.array_equal(classes[same], labels[same]), f"{entry.name}: targets of other images"


def some_batches(pipeline: TimedPipeline) -> list[np.ndarray]:
    """Images and class indices or targets of several batches, as if they were one."""
    first = pipeline.batch()
    others = [pipeline.batch() for _ in range(CHECKED // len(first[0]))]
    return [np.concatenate(parts) for parts in zip(first, *others, strict=True)]


def is_same(image: np.ndarray, other: np.ndarray) -> bool:
    """But for the mirror, whose coins fall otherwise in other pipelines."""
    return any(np.allclose(own, other, atol=1e-3) for own in (image, image[:, :, ::-1]))


def left_out(options: argparse.Namespace, device: str) -> Iterator[str]:
    others = [name for name in METHODS if name not in options.method]
    if device == "cpu":
        yield "the pipelines on a GPU (no GPU used)"
    if others:
        yield f"the methods {', '.join(others)} (--method)"
    if options.no_teacher:
        yield "the teacher in the pipeline (--no-teacher)"


if __name__ == "__main__":
    run_script(main)
