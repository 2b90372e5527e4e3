"""Pipelines that nobody closes: dropped in reference cycles while they work ahead, and after errors.

Prints a line of JSON, memory and threads after a tenth of the rounds and after all:

    python -m tests.support.programs.pipeline_ends --loaders 2000 --pipelines 2000 --errors 500 --busy 2
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from nvidia.dali import fn, pipeline_def

import dali_ops
from dalimix import AttentiveCutMix, CutMix
from tests.support.data.coloured import one_coloured_folder
from tests.support.loaders import grouped

OFTEN = 100  # objects until the collector runs, so that it runs in callbacks, too
BUSY = "while True: pass"


class Owner:
    """As trainers are: it refers to itself by a list of its own bound methods, and only the collector ends it."""

    def __init__(self, owned: Any) -> None:
        self.owned, self.hooks = owned, [self.hook]

    def hook(self) -> None:
        pass


@pipeline_def(batch_size=4, num_threads=1, device_id=None, seed=3)
def a_pipeline() -> Any:
    images = fn.external_source(lambda: [np.zeros((32, 32, 3), np.uint8)] * 4)
    return dali_ops.cutmix(images, fn.external_source(lambda: [np.array([1])] * 4), num_classes=4)


def drop_pipeline(root: Path, count: int) -> None:
    pipeline = a_pipeline()
    pipeline.build()
    pipeline.run()
    Owner(pipeline)


def drop_loader(root: Path, count: int) -> None:
    loader = dali_ops.ImageFolderLoader(root, CutMix(), **grouped(batch_size=4, size=32, seed=1, device="cpu"))
    next(iter(loader))
    Owner(loader)


def fail(root: Path, count: int) -> None:
    """Every other loader is closed; the error with its frames is part of a cycle."""

    def provider(images: Any) -> Any:
        raise ValueError("no heatmaps today")

    loader = dali_ops.ImageFolderLoader(
        root, AttentiveCutMix(), **grouped(batch_size=4, size=32, seed=1, device="cpu", heatmaps=provider)
    )
    try:
        next(iter(loader))
    except ValueError as error:
        Owner((loader, error))
    if count % 2:
        loader.close()


def facts() -> dict[str, int]:
    """MiB of this process, and how many threads it has."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {"MiB": pages * 4096 >> 20, "threads": len(list(Path("/proc/self/task").iterdir()))}


def rounds(drop: Callable[[Path, int], None], root: Path, count: int) -> list[dict[str, int]]:
    """Facts after a tenth and after all."""
    found = []
    for k in range(count):
        drop(root, k)
        if k + 1 in (max(count // 10, 1), count):
            gc.collect()
            found.append(facts())
    return found


@contextmanager
def busy(count: int) -> Iterator[None]:
    """Other processes that never rest."""
    loops = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("loaders", "pipelines", "errors", "busy"):
        parser.add_argument(f"--{name}", type=int, default=0)
    options = parser.parse_args()
    gc.set_threshold(OFTEN)
    kinds = {"loaders": drop_loader, "pipelines": drop_pipeline, "errors": fail}
    with tempfile.TemporaryDirectory() as folder, busy(options.busy), suppress(KeyboardInterrupt):
        root = one_coloured_folder(Path(folder))
        found = {name: rounds(drop, root, getattr(options, name)) for name, drop in kinds.items()}
        sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
