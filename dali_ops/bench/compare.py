"""Pipelines with mixing, each compared with the baseline: the same pipeline without mixing, from files to batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from dali_ops.assets.teacher import teacher_for
from dali_ops.bench.busy_gil import BusyGil
from dali_ops.bench.throughput import Setting, Span, TimedPipeline
from dali_ops.device import default_id
from dali_ops.loader.heatmap_sources import HeatmapSource, ModelSource, StoreSource
from dali_ops.loader.pipelines import NO_HEATMAPS
from dali_ops.loader.reading.unreadable import unreadable
from dali_ops.sources import ImageFolder
from dalimix import Method, checks
from dalimix.stores import HeatmapStore

BASELINE = "no mixing"
SAMPLE = 1024  # images; at ImageNet's usual weight, 110 MB
GIL = {False: "idle", True: "busy"}
SPEEDUP = "speedup"

Row = Mapping[str, Any]
Rounds = list[tuple[Span, Span]]  # of the baseline, and of the pipeline that is compared with it


class Entry(NamedTuple):
    """A pipeline to compare with the baseline; its source of heatmaps is made when its turn comes."""

    name: str
    method: Method | None
    heatmap_source: Callable[[], HeatmapSource] = lambda: NO_HEATMAPS


@dataclass(frozen=True)
class Timing:
    """How long to measure.

    Attributes:
        rounds: how often the two pipelines of a comparison take turns.
        batches: how many are timed in a turn.
        busy_gil: whether to measure a second time, while a Python thread keeps the GIL busy.
        advance: called after every turn with its entry's name, for a progress bar: never while a clock runs.
    """

    rounds: int
    batches: int
    busy_gil: bool = False
    advance: Callable[[str], object] = lambda name: None

    def __post_init__(self) -> None:
        checks.counts(rounds=self.rounds, batches=self.batches)
        checks.flag("busy_gil", self.busy_gil)
        checks.kind("advance", self.advance, Callable, "a function of a name")

    def turns(self, comparisons: int) -> int:
        """How often `advance` is called."""
        return comparisons * self.rounds * 2 * (1 + self.busy_gil)


def entries(methods: Mapping[str, Method], store: HeatmapStore, *, teacher: bool, device: str) -> list[Entry]:
    """All ways to run some methods: as they are, and where they read heatmaps, with those of a store and a teacher.

    The first entry is the baseline itself: how far its speedup is from 1 shows how reliable the others are.

    Args:
        methods: by name.
        store: of heatmaps of the images.
        teacher: whether to measure with a model in the pipeline, that of `dali_ops.assets.teacher`.
        device: ``"cpu"`` or ``"gpu"``.
    """
    found = [Entry(BASELINE, None)]
    for name, method in methods.items():
        found += [] if method.needs_heatmaps else [Entry(name, method)]
        if method.reads_heatmaps:
            found.append(Entry(f"{name} + store", method, partial(StoreSource, store, method)))
        if method.reads_heatmaps and teacher:
            found.append(Entry(f"{name} + teacher", method, partial(_with_teacher, method, device)))
    return found


def _with_teacher(method: Method, device: str) -> ModelSource:
    return ModelSource(teacher_for(method, device))


def some_images(folder: ImageFolder, least: int, skip_corrupt: bool = False, device: str = "cpu") -> ImageFolder:
    """`SAMPLE` images of a folder at random, or `least` if that is more; few ones several times.

    With `skip_corrupt`, without those that cannot be read or decoded on the device.

    The same ones on every run, and each is read once here, so that no pipeline waits for a disk where the next one
    finds the files in the system's memory.

    Raises:
        OSError: a file cannot be read.
        ValueError: none of the images can be decoded.
    """
    numbers = np.random.default_rng(0).permutation(len(folder))[: max(SAMPLE, least)]
    if skip_corrupt:
        corrupt = [number for number, _ in unreadable(folder, numbers, default_id(device))]
        if len(corrupt) == len(numbers):
            raise ValueError(f"none of {len(numbers)} images can be decoded, such as {folder.location(corrupt[0])}")
        numbers = numbers[~np.isin(numbers, corrupt)]
    for number in numbers:
        folder.read(number)
    return folder.picked(np.resize(numbers, max(len(numbers), least)).tolist())


def measure(settings: Iterable[Setting], found: Sequence[Entry], timing: Timing) -> Iterator[Row]:
    """One comparison after the other, as a row for a table: in every setting, every entry against the baseline.

    Two pipelines at a time are alive. They take turns, since the speed of a machine drifts. The speedup of a round is
    images/s ÷ the baseline's images/s; that of a row is the median of its rounds, and ``lowest`` and ``highest`` are
    the ends of their range. Images per second are medians, too, so their quotient may differ from the speedup.
    """
    for setting in settings:
        for entry in found:
            yield from _compare(setting, entry, timing)


def _compare(setting: Setting, entry: Entry, timing: Timing) -> Iterator[Row]:
    baseline, candidate = TimedPipeline(setting, None), TimedPipeline(setting, entry.method, entry.heatmap_source())
    for busy_gil in (False, True)[: 1 + timing.busy_gil]:
        with BusyGil() if busy_gil else nullcontext() as busy:
            turn = partial(_turn, entry, timing, busy)
            rounds = [(turn(baseline), turn(candidate)) for _ in range(timing.rounds)]
        yield _row(setting, entry.name, GIL[busy_gil], rounds)


def _turn(entry: Entry, timing: Timing, busy: BusyGil | None, pipeline: TimedPipeline) -> Span:
    span = pipeline.turn(timing.batches, busy)
    timing.advance(entry.name)
    return span


def _row(setting: Setting, name: str, gil: str, rounds: Rounds) -> Row:
    speed = median(span.images_per_second for _, span in rounds)
    speedups = [span.images_per_second / baseline.images_per_second for baseline, span in rounds]
    baseline, own = zip(*rounds, strict=True)
    return {
        "what": name,
        "batch": setting.batch_size,
        "threads": setting.num_threads,
        "GIL": gil,
        "images/s": speed,
        "images/s per thread": speed / setting.num_threads,
        "baseline": BASELINE,
        "baseline images/s": median(span.images_per_second for span in baseline),
        SPEEDUP: median(speedups),
        "lowest": min(speedups),
        "highest": max(speedups),
        "CPU cores": median(span.cores for span in own),
        "baseline CPU cores": median(span.cores for span in baseline),
        "CPU ms/image": median(span.cpu_ms_per_image for span in own),
        "baseline CPU ms/image": median(span.cpu_ms_per_image for span in baseline),
    }


def by_setting(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """The rows of every batch size, number of threads and load, by what a person calls these."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        threads = f"{row['threads']} thread" + "s" * (row["threads"] != 1)
        load = ", GIL kept busy" * (row["GIL"] == GIL[True])
        found.setdefault(f"batch size {row['batch']}, {threads}{load}", []).append(row)
    return found
