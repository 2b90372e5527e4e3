"""The pixels of `bench_cpu.py`: mixing against `crop_mirror_normalize`, against a memcpy, and in two threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from nvidia.dali import fn, pipeline_def

import dalimix
from benchmarks.harness import (
    Rows,
    Run,
    compare,
    drawn,
    each,
    image_rows,
    on_cpu,
    one_step,
    pictures,
    row,
    take_turns,
)
from benchmarks.peers.dali_way import ALONE, TYPES
from benchmarks.tensors import CLASSES, MEAN, SMOOTHING, STD
from dali_ops import mix
from dalimix import CutMix, Method, MixPlan, Mixup, TokenMix
from dalimix.support.threads import threads

DTYPES = ("float32", "float16")
PIPED: dict[str, Method] = {"CutMix": CutMix(), "Mixup": Mixup()}
COMPOSED: dict[str, Method] = {**PIPED, "TokenMix": TokenMix()}
MEMCPY, ONE, TWO = "memcpy of as many bytes", "one thread", "two threads"
KEPT = 2  # outputs, as many as a pipeline prefetches: so none is written where the last one was
Given = tuple[np.ndarray, MixPlan, np.ndarray]  # images, the plan, and which of them are mirrored


# ---- whole batches in a pipeline of DALI's, with one thread


def piped_rows(batch: int, size: int, runs: int, rounds: int) -> Rows:
    """Blocks of runs; without the time that the source takes, which is that of a pipeline with nothing behind it."""
    images = pictures(batch, size)
    found = []
    for dtype in DTYPES:
        bodies: dict[str, Callable[..., Any]] = {"source": source_alone, ALONE: partial(plain, dtype)}
        bodies |= {name: partial(mixed, method, dtype) for name, method in PIPED.items()}
        blocks = [block(body, images) for body in bodies.values()]
        for name, run in zip(PIPED, blocks[2:], strict=True):
            check(f"{name}, {dtype}", run(0), (dtype, (batch, 3, size, size)))
        spans = [without_source(turn) for turn in take_turns(blocks, rounds, partial(one_step, "cpu", runs))]
        names = [ALONE, *(f"pipeline, {name}, {dtype}" for name in PIPED)]
        found += image_rows(names, [(name, ALONE) for name in names[1:]], batch, spans)
    return found


def without_source(turn: Sequence[float]) -> list[float]:
    """Milliseconds of all but the first, without the first; a microsecond at least, which small batches come to."""
    source, *others = turn
    return [max(other - source, 1e-3) for other in others]


def check(what: str, outputs: Any, expected: tuple[str, tuple[int, ...]]) -> None:
    """The type and shape of the pixels, and that most of a batch is mixed."""
    pixels, targets = (np.array(output.as_array()) for output in outputs)
    assert (str(pixels.dtype), pixels.shape) == expected, f"{what}: other images"
    assert np.allclose(targets.sum(1), 1, atol=1e-3), f"{what}: targets do not add up to 1"
    assert np.mean(targets.max(1) < 1 - SMOOTHING) > 0.4, f"{what}: images are not mixed"


def block(body: Callable[..., Any], images: list[np.ndarray], ahead: int = KEPT) -> Run:
    """A run of a pipeline that makes a batch after the other; with 1 in place of `ahead`, none before it is wanted."""
    labels = np.arange(len(images[0])) % CLASSES

    @pipeline_def(batch_size=len(labels), num_threads=1, device_id=None, seed=0, prefetch_queue_depth=ahead)  # type: ignore[untyped-decorator]
    def pipeline() -> Any:
        pixels = fn.external_source(images, batch=True, cycle=True, layout="HWC", no_copy=True)
        numbers = fn.external_source([labels], batch=True, cycle=True)
        return body(pixels, numbers, fn.random.coin_flip())

    made = pipeline()
    return lambda _: made.run()


def source_alone(images: Any, labels: Any, mirror: Any) -> Any:
    """Images that were given out would be copied."""
    return images.shape(), labels, mirror


def plain(dtype: str, images: Any, labels: Any, mirror: Any) -> Any:
    return fn.crop_mirror_normalize(images, mirror=mirror, **normalised(TYPES[dtype])), labels


def mixed(method: Method, dtype: str, images: Any, labels: Any, mirror: Any) -> Any:
    options = {"num_classes": CLASSES, "smoothing": SMOOTHING, "mirror": mirror, **normalised(dtype)}
    return mix(images, labels, method, **options)


def normalised(dtype: Any) -> dict[str, Any]:
    return {"mean": MEAN, "std": STD, "dtype": dtype, "output_layout": "CHW"}


# ---- `compose` alone


def memcpy_rows(batch: int, size: int, rounds: int) -> Rows:
    found = []
    for name, dtype, inputs in composing(batch, size):
        moved = inputs[0][0].nbytes * (1 + np.dtype(dtype).itemsize)
        times = compare(composes(inputs, dtype), memcpy(moved, len(inputs)), rounds, on_cpu)
        rate = {"MB": moved / 1e6, "GB/s": moved / times[0] / 1e6}
        found.append(row(f"compose, {name}, {dtype}", batch, MEMCPY, times, "ms", rate))
    return found


def thread_rows(batch: int, size: int, rounds: int) -> Rows:
    found = []
    for name, dtype, inputs in composing(batch, size):
        one, two = (threaded(count, composes(inputs, dtype)) for count in (1, 2))
        assert np.array_equal(one(0), two(0)), f"{name}, {dtype}: the number of threads shows"
        what = f"compose, {name}, {dtype}, {TWO}"
        found.append(row(what, batch, ONE, compare(two, one, rounds, on_cpu), "ms", {}))
    return found


def composing(batch: int, size: int) -> Iterator[tuple[str, str, list[Given]]]:
    """Every method to every dtype, with different batches, more than fit into most caches."""
    images = pictures(batch, size)
    for name, method in COMPOSED.items():
        inputs = [given(method, pixels, seed) for seed, pixels in enumerate(images)]
        yield from ((name, dtype, inputs) for dtype in DTYPES)


def given(method: Method, images: np.ndarray, seed: int) -> Given:
    plan = dalimix.plan(method, drawn(method, len(images), seed, np), images.shape[1:3])
    return images, plan, np.random.default_rng(seed).integers(0, 2, len(images), np.int32)


def composes(inputs: list[Given], dtype: str) -> Callable[[int], Any]:
    kept: deque[Any] = deque(maxlen=KEPT)

    def run(index: int) -> Any:
        kept.append(each(inputs, lambda one: dalimix.compose(*one, **normalised(dtype)), index))
        return kept[-1]

    return run


def memcpy(moved: int, count: int) -> Run:
    """Read half of `moved` bytes and write the other half, to memory that was written before, as `compose` does."""
    sources = [np.full(moved // 2, k, np.uint8) for k in range(count)]
    targets = [np.zeros_like(sources[0]) for _ in range(KEPT + 1)]
    return lambda index: np.copyto(targets[index % len(targets)], sources[index % count])


def threaded(count: int, run: Callable[[int], Any]) -> Callable[[int], Any]:
    """In so many threads."""

    def inside(index: int) -> Any:
        with threads(count):
            return run(index)

    return inside
