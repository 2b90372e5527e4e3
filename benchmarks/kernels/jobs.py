"""What `bench_kernels.py` times: every kernel with its inputs, on NumPy or CuPy arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import numpy as np

import dalimix
from benchmarks.harness import CACHES
from benchmarks.tensors import CLASSES, MEAN, SMOOTHING, STD
from dalimix import AttentiveCutMix, CutMix, Draws, Erase, Method, MixPlan, Mixup, RandomChoice, SMMix, TokenMix
from dalimix.arrays import array_module
from dalimix.checks import Layout
from dalimix.dispatch import backend_of
from dalimix.heatmap_crop import heatmap_crop

GRID = 14  # of heatmaps
LAYOUTS: tuple[Layout, ...] = ("CHW", "HWC")  # that come out
MAPS = 1 << 20  # of a store; ImageNet has 1.28 million
BLOCK = (1 << 24) + 43  # bytes that are drawn; odd, so that no two images are the same
COMPOSED: dict[str, Method] = {"CutMix": CutMix(), "TokenMix": TokenMix(), "Mixup": Mixup()}
COMPOSED["Mixup, paired"] = Mixup(per="pair", pairing="flip")  # both of a pair are read at once
PLANNED: dict[str, Method] = {
    "CutMix": CutMix(),
    "Mixup": Mixup(),
    "AttentiveCutMix": AttentiveCutMix(),
    "TokenMix, blocks": TokenMix(),
    "TokenMix, lone tokens": TokenMix(blocks=False),
    "SMMix": SMMix(),
    "RandomChoice of Mixup and CutMix": RandomChoice(),
}


@dataclass(frozen=True)
class Job:
    """One kernel at work: ``run(one of inputs)``."""

    kernel: str  # its file in kernels/
    what: str
    inputs: Sequence[Any]
    run: Callable[[Any], Any]
    reads: int  # bytes, each once
    part: Callable[[Any, Any], tuple[Any, Any]] | None = None  # of a large batch, enough to check: inputs and outputs


def jobs(xp: Any, batch: int, size: int) -> Iterator[Job]:
    """All of them, one after another: the inputs of those that are done can be forgotten."""
    for make in (compose_jobs, label_jobs, plan_jobs):
        yield from make(xp, batch, size)
    yield erase_job(xp, batch, size)
    yield crop_job(xp, batch)
    yield resample_job(xp, batch)


# ---- pixels and labels


def compose_jobs(xp: Any, batch: int, size: int) -> Iterator[Job]:
    for dtype, (name, method) in product(("uint8", "float16"), COMPOSED.items()):
        inputs = [
            (images, plans(method, xp, batch, size, seed))
            for seed, images in enumerate(byte_images(xp, (batch, size, size, 3), dtype))
        ]
        for output, layout in product(("float16", "uint8"), LAYOUTS):
            run = partial(composed, output=output, layout=layout)
            what = f"{name}, {dtype} to {layout} {output}"
            yield Job("compose", what, inputs, run, bytes_of(inputs[0]), some_images)


def composed(given: tuple[Any, MixPlan], output: str, layout: Layout) -> Any:
    """Normalised, if floats come out."""
    mean, std = (MEAN, STD) if output == "float16" else (None, None)
    return dalimix.compose(*given, mean=mean, std=std, dtype=output, output_layout=layout)


def some_images(given: tuple[Any, MixPlan], pixels: Any, count: int = 32) -> tuple[Any, Any]:
    """The inputs for `count` images, from the first to the last, and those images of `pixels`.

    The inputs are they and, behind them, their givers, with a plan that gives from there.
    """
    images, plan = given
    xp, count = array_module(images), min(count, len(images))
    rows = xp.linspace(0, len(images) - 1, count).astype(int)
    fields = [xp.concatenate([array[rows]] * 2) for array in plan.arrays()]
    fields[0] = xp.arange(2 * count, dtype=np.int32) % count + count
    return (images[xp.concatenate([rows, plan.partner[rows]])], MixPlan(*fields)), pixels[rows]


def label_jobs(xp: Any, batch: int, size: int) -> Iterator[Job]:
    rng, put = np.random.default_rng(0), [plans(CutMix(), xp, batch, size, seed) for seed in range(8)]
    kinds = {
        "from class indices": [xp.asarray(rng.integers(0, CLASSES, batch)) for _ in put],
        "from soft labels": [xp.asarray(rng.random((batch, CLASSES), np.float32)) for _ in put],
    }
    for what, labels in kinds.items():
        inputs = list(zip(labels, put, strict=True))
        reads = bytes_of([labels[0], put[0].partner, put[0].weight])
        yield Job("soft_labels", what, inputs, targets, reads)


def targets(given: tuple[Any, MixPlan]) -> Any:
    return dalimix.soft_labels(*given, num_classes=CLASSES, smoothing=SMOOTHING)


def plans(method: Method, xp: Any, batch: int, size: int, seed: int) -> MixPlan:
    plan = dalimix.plan(method, dalimix.draw(method, batch, seed), (size, size))
    return MixPlan(*map(xp.asarray, plan.arrays()), size=plan.size)


def byte_images(xp: Any, shape: tuple[int, ...], dtype: str) -> list[Any]:
    """Random bytes, made where they are needed: different batches, three to eight, that outlast the caches."""
    rng, moved = np.random.default_rng(0), int(np.prod(shape)) * (np.dtype(dtype).itemsize + 1)
    count = min(max(3, CACHES // moved + 1), 8)
    blocks = (xp.asarray(rng.integers(0, 256, min(BLOCK, moved), np.uint8)) for _ in range(count))
    return [xp.resize(block, shape).astype(dtype, copy=False) for block in blocks]


# ---- plans and heatmaps


def plan_jobs(xp: Any, batch: int, size: int) -> Iterator[Job]:
    for name, method in PLANNED.items():
        given = (drawn_and_seen(method, batch, seed) for seed in range(8))
        inputs = [(draws.mapped(xp.asarray), None if maps is None else xp.asarray(maps)) for draws, maps in given]
        run = partial(planned, method, (size, size))
        yield Job(method.name, name, inputs, run, bytes_of(inputs[0]))


def planned(method: Method, size: tuple[int, int], given: tuple[Draws, Any]) -> MixPlan:
    draws, heatmaps = given
    return dalimix.plan(method, draws, size, heatmaps)


def drawn_and_seen(method: Method, batch: int, seed: int) -> tuple[Draws, np.ndarray | None]:
    """Random numbers, and heatmaps for methods that need them: whole numbers, whose sums are exact in any order."""
    maps = None
    if method.needs_heatmaps and method.token_grid is not None:
        values = np.random.default_rng(seed).integers(0, 1 << 16, (batch, *method.token_grid))
        maps = values.astype(np.float32)
    return dalimix.draw(method, batch, seed), maps


def erase_job(xp: Any, batch: int, size: int) -> Job:
    """The boxes of random erasing; their pixels are made by `compose`."""
    rng = np.random.default_rng(0)
    inputs = [xp.asarray(rng.integers(0, 1 << 32, (batch, 2), np.uint32)) for _ in range(8)]
    return Job("erase", "boxes of every image", inputs, partial(erased, size), bytes_of(inputs[0]))


def erased(size: int, keys: Any) -> Any:
    return backend_of(keys).erase(Erase(prob=1.0), keys, (size, size)).box


def crop_job(xp: Any, batch: int) -> Job:
    """From uint8 maps of a store; of those, a batch reads only its own."""
    rng = np.random.default_rng(0)
    maps = xp.tile(xp.asarray(rng.integers(0, 256, (16, GRID, GRID), np.uint8)), (MAPS // 16, 1, 1))
    inputs = [(xp.asarray(rng.integers(0, MAPS, batch)), xp.asarray(crops(rng, batch))) for _ in range(64)]
    reads = bytes_of(inputs[0]) + batch * GRID**2
    what = f"{GRID} × {GRID} uint8 to {GRID} × {GRID}"
    return Job("heatmap_crop", what, inputs, partial(cropped, maps), reads)


def cropped(maps: Any, given: tuple[Any, Any]) -> Any:
    """Where `given` is: the store comes along, to be checked on the host."""
    index, boxes = given
    here = maps if array_module(index) is array_module(maps) else array_module(index).asarray(maps.get())
    return heatmap_crop(here, index, boxes, GRID)


def crops(rng: np.random.Generator, batch: int) -> np.ndarray:
    """Float64 [batch, 4]: corners and sides of windows, in shares of the image."""
    sides = rng.uniform(0.3, 1, (batch, 2))
    return np.concatenate([rng.random((batch, 2)) * (1 - sides), sides], axis=1)


def resample_job(xp: Any, batch: int) -> Job:
    rng = np.random.default_rng(0)
    inputs = [xp.asarray(rng.random((batch, 2 * GRID, 2 * GRID), np.float32)) for _ in range(8)]
    what = f"{2 * GRID} × {2 * GRID} to {GRID} × {GRID}"
    return Job("resample_heatmaps", what, inputs, resampled, bytes_of(inputs[0]))


def resampled(heatmaps: Any) -> Any:
    return backend_of(heatmaps).resample_heatmaps(heatmaps, GRID)


def bytes_of(given: Any) -> int:
    return sum(array.nbytes for array in arrays(given))


def arrays(given: Any) -> list[Any]:
    """All there are, in tuples, draws and plans, too."""
    if given is None:
        return []
    if isinstance(given, (Draws, MixPlan)):
        given = given.arrays()
    return [array for item in given for array in arrays(item)] if isinstance(given, (tuple, list)) else [given]
