"""Dynamic mode against a pipeline: from JPEG files to mixed batches on the CPU, in images/s.

    python -m benchmarks.pipeline.bench_dynamic [--batch 64] [--threads 2] [--batches 8] [--data FOLDER] [--json FILE]

All read, decode, crop, resize and mix the same images, by the same operators: a pipeline with `dali_ops.mix`, and loops
of dynamic mode with `dali_ops.dynamic.mix`, as it is and with ``capture=True``, where DALI makes a pipeline of its
operators, which works ahead of the loop. Whoever takes the batches does nothing else, or is busy for 50 ms with each,
as with a step of training on a GPU. They take turns; the row of the pipeline itself shows how reliable that is.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import nvidia.dali.experimental.dynamic as ndd
from nvidia.dali import fn, pipeline_def

from benchmarks.harness import Rows, finish, image_rows, one_step, parser, run_script, shown, take_turns
from benchmarks.tensors import MEAN, STD
from dali_ops import dynamic, mix
from dali_ops.assets.photos import make_imagenet_like_folder
from dali_ops.bench.compare import some_images
from dali_ops.cli.arguments import positive
from dali_ops.device import default_threads
from dali_ops.sources import ImageFolder
from dalimix import CutMix

SIZE = 224
PIPELINE = "pipeline"
STEPS = (0, 50)
EPOCH = 20  # batches: at its end whatever works ahead has to wait
NAMES = (PIPELINE, "pipeline once more", "dynamic mode", "dynamic mode, captured")


def main() -> None:
    options = arguments()
    with TemporaryDirectory() as place:
        folder = ImageFolder.scan(options.data or make_imagenet_like_folder(Path(place) / "photos"))
        rows = shown(bench(some_images(folder, EPOCH * options.batch), options))
    finish(options.json, "cpu", rows, ["dynamic mode on a GPU (no GPU used)"])


def arguments() -> argparse.Namespace:
    options = parser(__doc__, rounds=9, device=False)
    options.add_argument("--batch", type=positive, default=64)
    options.add_argument("--threads", type=positive, default=default_threads())
    options.add_argument("--batches", type=positive, default=8, help="that are timed in a turn (default: %(default)s)")
    options.add_argument("--data", type=Path, help="folder with a sub-folder for each class")
    return options.parse_args()


def bench(images: ImageFolder, options: argparse.Namespace) -> Rows:
    reading = {"files": list(map(str, images.files)), "labels": list(images.labels), "random_shuffle": True, "seed": 0}
    mixing = {"num_classes": len(images.classes), "mean": MEAN, "std": STD, "output_layout": "CHW"}
    ndd.set_num_threads(options.threads)
    piped = partial(batches_of_pipeline, reading, mixing, options.batch, options.threads)
    looped = partial(batches_of_loop, reading, mixing, options.batch)
    with ExitStack() as threads:
        takes = [threads.enter_context(in_own_thread(way)) for way in (piped(), piped(), looped(False), looped(True))]
        for name, take in zip(NAMES, takes, strict=True):
            check(name, *take(), options.batch)
        return [row for step in STEPS for row in step_rows(takes, step, options)]


def step_rows(takes: list[Callable[[], Any]], step: int, options: argparse.Namespace) -> Rows:
    """While whoever takes a batch is busy for `step` milliseconds with something that needs no CPU, as on a GPU."""

    def run(take: Callable[[], Any], _: int) -> None:
        take()
        time.sleep(step / 1e3)

    runs = [partial(run, take) for take in takes]
    spans = take_turns(runs, options.rounds, partial(one_step, "cpu", options.batches))
    rows = image_rows(NAMES, [(name, PIPELINE) for name in NAMES[1:]], options.batch, spans)
    return [{"what": found.pop("what"), "step ms": step, **found} for found in rows]


@contextmanager
def in_own_thread(batches: Generator[Any]) -> Iterator[Callable[[], Any]]:
    """A function that takes a batch. Dynamic mode keeps generators and what it has captured for each thread."""
    with ThreadPoolExecutor(1) as thread:
        yield lambda: thread.submit(next, batches).result()
        thread.submit(batches.close).result()


def check(name: str, images: np.ndarray, targets: np.ndarray, batch: int) -> None:
    assert images.shape == (batch, 3, SIZE, SIZE), f"{name}: other images"
    assert np.allclose(targets.sum(1), 1, atol=1e-3), f"{name}: targets do not add up to 1"
    assert np.mean(targets.max(1) < 1) > 0.25, f"{name}: images are not mixed"


def batches_of_pipeline(reading: dict[str, Any], mixing: dict[str, Any], batch: int, threads: int) -> Generator[Any]:
    @pipeline_def(batch_size=batch, num_threads=threads, device_id=None, seed=0)  # type: ignore[untyped-decorator]
    def pipeline() -> Any:
        images, labels = fn.readers.file(**reading)
        images = fn.resize(fn.decoders.image_random_crop(images), size=[SIZE, SIZE])
        return mix(images, labels, CutMix(), mirror=fn.random.coin_flip(), **mixing)

    made = pipeline()
    while True:
        yield tuple(np.asarray(output.as_array()) for output in made.run())


def batches_of_loop(reading: dict[str, Any], mixing: dict[str, Any], batch: int, capture: bool) -> Generator[Any]:
    reader = ndd.readers.File(**reading)
    while True:
        for encoded, labels in reader.next_epoch(batch_size=batch, capture=capture):
            images = ndd.decoders.image_random_crop(encoded)
            images = ndd.resize(images, size=[224, 224])  # numbers, since DALI captures nothing that might change
            mirror = ndd.random.coin_flip(batch_size=batch)
            mixed = dynamic.mix(images, labels, CutMix(), mirror=mirror, **mixing)
            yield tuple(np.asarray(ndd.as_tensor(output)) for output in mixed)


if __name__ == "__main__":
    run_script(main)
