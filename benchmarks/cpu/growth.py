"""How the time of `bench_cpu.py` grows: with the images of a batch, their size, the classes, in one thread and in two.

Everything is told per value that comes out, so that what grows as it should is a level line.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import product
from statistics import median
from typing import Any

import numpy as np

import dalimix
from benchmarks.cpu.mixing import PIPED, given, normalised, threaded
from benchmarks.harness import Rows, Run, drawn, each, on_cpu, pictures, take_turns
from benchmarks.tensors import SMOOTHING
from dalimix import CutMix, Method

BATCHES, SIZES, CLASSES = (1, 4, 16, 64, 256, 1024), (32, 64, 128, 224, 384, 512), (10, 100, 1000, 10_000, 21_841)
BATCH, SIZE, CHANNELS = 64, 224, 3  # where they do not grow
THREADS = (1, 2)
LEAST = 1 << 22  # values that are made while the clock runs once


def growth_rows(quick: bool, rounds: int) -> Rows:
    batches, sizes, classes = (few(axis) if quick else axis for axis in (BATCHES, SIZES, CLASSES))
    rows = [row for batch in batches for row in mixing_rows("images in a batch", batch, SIZE, rounds)]
    rows += [row for size in sizes for row in mixing_rows("size of the images", BATCH, size, rounds)]
    return rows + [row for count in classes for row in label_rows(count, rounds)]


def few(axis: tuple[int, ...]) -> tuple[int, ...]:
    """The two smallest."""
    return axis[:2]


def mixing_rows(grows: str, batch: int, size: int, rounds: int) -> Rows:
    """Plan, and images from bytes to normalised float32 planes."""
    images = pictures(batch, size)
    runs = {(name, count): mixes(method, images, count) for (name, method), count in product(PIPED.items(), THREADS)}
    at = {"grows": grows, "batch": batch, "size": size}
    return list(timed(at, runs, batch * size**2 * CHANNELS, rounds))


def mixes(method: Method, images: list[np.ndarray], count: int) -> Run:
    inputs = [given(method, batch, seed) for seed, batch in enumerate(images)]
    draws = drawn(method, len(images[0]), 0, np)

    def mix(one: Any) -> Any:
        batch, _, mirror = one
        plan = dalimix.plan(method, draws, batch.shape[1:3])
        return dalimix.compose(batch, plan, mirror, **normalised("float32"))

    return threaded(count, partial(each, inputs, mix))


def label_rows(classes: int, rounds: int) -> Rows:
    """Class indices to soft labels."""
    plan = dalimix.plan(CutMix(), drawn(CutMix(), BATCH, 0, np), (SIZE, SIZE))
    labels = np.random.default_rng(0).integers(0, classes, BATCH)

    def make(_: int) -> Any:
        return dalimix.soft_labels(labels, plan, classes, SMOOTHING)

    runs = {("soft_labels", count): threaded(count, make) for count in THREADS}
    return list(timed({"grows": "classes", "batch": BATCH, "classes": classes}, runs, BATCH * classes, rounds))


def timed(at: dict[str, Any], runs: dict[tuple[str, int], Run], values: int, rounds: int) -> Iterator[dict[str, Any]]:
    spans = take_turns(list(runs.values()), rounds, partial(several, max(1, LEAST // values)))
    for (what, count), turns in zip(runs, zip(*spans, strict=True), strict=True):
        ms = median(turns)
        speed = {"median ms": ms, "images/s": at["batch"] / ms * 1e3, "ns per value": ms * 1e6 / values}
        yield {"what": what, "threads": count, **at, **speed}


def several(count: int, run: Run, index: int) -> float:
    """Milliseconds of one of so many runs."""

    def all_of_them(index: int) -> None:
        for k in range(count):
            run(index * count + k)

    return on_cpu(all_of_them, index) / count
