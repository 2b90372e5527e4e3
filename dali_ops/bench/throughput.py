"""How many images per second a training pipeline delivers."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from dali_ops.bench.busy_gil import BusyGil
from dali_ops.device import check_device, default_id
from dali_ops.loader.heatmap_sources import HeatmapSource, ModelSource, StoreSource
from dali_ops.loader.pipelines import NO_HEATMAPS, training_pipeline
from dali_ops.loader.reading.feed import Feed
from dali_ops.loader.reading.order import Order
from dali_ops.loader.reading.unreadable import FAILURES, refuse_unreadable
from dali_ops.loader.transforms import Train
from dali_ops.operators.targets import Targets
from dali_ops.sources import Source
from dalimix import Method, checks

WARM_UP = 3  # batches, until the pipeline works as evenly as it will


@dataclass(frozen=True)
class Setting:
    """What all pipelines of a comparison have in common.

    Attributes:
        source: what to read, over and over; a batch of images at least.
        device: ``"cpu"`` or ``"gpu"``.
        batch_size: images per batch.
        num_threads: of DALI on the CPU.
        size: side of the images in pixels.
    """

    source: Source
    device: str
    batch_size: int
    num_threads: int
    size: int = 224

    def __post_init__(self) -> None:
        checks.kind("source", self.source, Source, "one of dali_ops.sources")
        object.__setattr__(self, "device", check_device(self.device))  # "cuda" is "gpu", too
        checks.counts(batch_size=self.batch_size, num_threads=self.num_threads, size=self.size)
        if len(self.source) < self.batch_size:
            raise ValueError(f"batch_size is {self.batch_size}, but there are {len(self.source)} images")


class Span(NamedTuple):
    """What was made between two looks at the clock, and the CPU time that all threads of the process had for it."""

    images: int
    seconds: float
    cpu_seconds: float

    @property
    def images_per_second(self) -> float:
        return self.images / self.seconds

    @property
    def cores(self) -> float:
        """How many were busy, on average."""
        return self.cpu_seconds / self.seconds

    @property
    def cpu_ms_per_image(self) -> float:
        return self.cpu_seconds / self.images * 1e3


class TimedPipeline:
    """The training pipeline of `ImageFolderLoader`, from files to finished batches, which works in its turns alone.

    Pipelines of one setting read the same images in the same order and draw the same crops, whatever the method.

    Args:
        setting: what it has in common with others.
        method: None for plain batches.
        heatmap_source: where heatmaps come from, for methods that read them.

    Raises:
        ValueError: an image cannot be decoded; so does `turn`.
    """

    def __init__(self, setting: Setting, method: Method | None, heatmap_source: HeatmapSource = NO_HEATMAPS) -> None:
        checks.kind("setting", setting, Setting, "a Setting")
        checks.kind("heatmap_source", heatmap_source, (ModelSource, StoreSource), "a ModelSource or a StoreSource")
        if method is not None:
            checks.method(method)
        source, device = setting.source, setting.device
        runtime = {"num_threads": setting.num_threads, "device_id": default_id(device), "seed": 0}
        self.device, self._done = device, 0
        self._feed = Feed(source, Order(len(source), setting.batch_size, training=True, drop_last=True))
        self._pipeline = training_pipeline(
            self._feed, method, Train(setting.size), Targets(), device, heatmap_source,
            batch_size=setting.batch_size, **runtime,
        )  # fmt: skip
        self._pipeline.schedule_run()  # the first time DALI schedules as many as it prefetches, later one at a time
        self._drain()

    def turn(self, batches: int, busy: BusyGil | None = None) -> Span:
        """Make some batches and time them; nobody consumes them. Before and after that, the pipeline stands still.

        DALI works ahead, so a batch may be begun before the clock starts or finished after it stops. Both ends are
        alike: a batch was just waited for, and as many as ever are under way behind it, so that just as much work is
        left over at the end as there was at the start. (Before the clock starts, `WARM_UP` batches bring a pipeline
        from standstill to that.) While a thread keeps the GIL busy, they are alike on average: a batch may be ready
        before the GIL is free to take it. So time many batches then.

        On a GPU both ends wait for all that it was given.

        Args:
            batches: how many are timed.
            busy: a thread whose CPU time does not count.
        """
        checks.counts(batches=batches)
        for _ in range(self._pipeline.prefetch_queue_depth - 1):
            self._pipeline.schedule_run()
        self._run(WARM_UP)
        start, cpu_start = self._clocks(busy)
        images = self._run(batches)
        end, cpu_end = self._clocks(busy)
        self._drain()
        return Span(images, end - start, cpu_end - cpu_start)

    def batch(self) -> list[np.ndarray]:
        """One more batch, to see what is timed: images float32 [B, 3, size, size], and class indices or targets."""
        self._pipeline.schedule_run()
        outputs = [output.as_cpu() if self.device == "gpu" else output for output in self._next()]
        return [np.array(output.as_array()) for output in outputs]

    def _run(self, batches: int) -> int:
        """As DALI's ``run``: one more is scheduled, then the first is waited for."""
        images = 0
        for _ in range(batches):
            self._pipeline.schedule_run()
            images += len(self._next()[0])
        return images

    def _drain(self) -> None:
        while not self._pipeline.empty():
            self._next()

    def _next(self) -> Any:
        """Wait for a batch."""
        try:
            outputs = self._pipeline.outputs()
        except FAILURES as error:
            asked = self._feed.asked(*divmod(self._done, self._feed.order.steps))
            refuse_unreadable(error, self._feed.source, asked, self._pipeline.device_id)
            raise
        self._done += 1
        return outputs

    def _clocks(self, busy: BusyGil | None) -> tuple[float, float]:
        """Seconds on the wall, and of the CPU."""
        if self.device == "gpu":
            import cupy

            cupy.cuda.Device().synchronize()
        return time.perf_counter(), time.process_time() - (busy.cpu_seconds() if busy else 0.0)
