"""What is timed of one pipeline, and when the clock runs."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from dali_ops.bench import throughput
from dali_ops.bench.random_heatmaps import random_store
from dali_ops.bench.throughput import Setting, Span, TimedPipeline
from dali_ops.loader.heatmap_sources import StoreSource
from dali_ops.loader.reading.order import Order
from dali_ops.sources import ImageFolder
from dalimix import CutMix, TokenMix
from tests.support.data.coloured import one_coloured_folder
from tests.support.project.benchmarks import BATCH, IMAGES, SIZE

DEPTH = 2  # batches that DALI prefetches


class FakeTime:
    """Wall and CPU, which stand still unless somebody moves them."""

    def __init__(self):
        self.now, self.cpu, self.looks = 100.0, 40.0, []

    def perf_counter(self):
        self.looks.append(self.now)
        return self.now

    def process_time(self):
        return self.cpu


class FakePipeline:
    """Makes a batch a second, each in 1.5 seconds, for 3 seconds of the CPU; at most so many as were scheduled."""

    prefetch_queue_depth, device_id = DEPTH, None

    def __init__(self, clock):
        self.clock, self.ready, self.scheduled = clock, [], 0

    def schedule_run(self):
        for _ in range(1 if self.scheduled else DEPTH):
            last = self.ready[-1] if self.ready else 0
            self.ready.append(max(self.clock.now + 1.5, last + 1))
            self.scheduled += 1

    def outputs(self):
        self.clock.now = max(self.clock.now, self.ready.pop(0))
        self.clock.cpu += 3
        return [range(BATCH)]

    def empty(self):
        return not self.ready


@pytest.fixture
def faked(monkeypatch):
    """A clock that stands still, and a pipeline by it."""
    clock = FakeTime()
    pipeline = FakePipeline(clock)
    monkeypatch.setattr(throughput, "time", clock)
    monkeypatch.setattr(throughput, "training_pipeline", lambda *arguments, **options: pipeline)
    return SimpleNamespace(clock=clock, pipeline=pipeline)


def test_only_what_is_made_in_the_span_counts(setting, faked) -> None:
    """Batches that were ready before do not shorten it, nor those that are under way at the end lengthen it."""
    pipeline = TimedPipeline(setting, None)
    for batches in (1, 5, 20):
        assert pipeline.turn(batches) == Span(batches * BATCH, batches * 1.0, batches * 3.0)
        faked.clock.now += 100  # others have their turn


def test_the_pipeline_stands_still_between_its_turns(setting, faked) -> None:
    pipeline = TimedPipeline(setting, None)
    assert faked.pipeline.empty()
    pipeline.turn(3)
    assert faked.pipeline.empty()
    assert faked.pipeline.scheduled == DEPTH + (DEPTH - 1) + throughput.WARM_UP + 3


def test_cpu_time_of_the_busy_thread_does_not_count(setting, faked) -> None:
    spent = iter([7.0, 8.5])
    busy = SimpleNamespace(cpu_seconds=lambda: next(spent))
    assert TimedPipeline(setting, None).turn(2, busy).cpu_seconds == 2 * 3 - 1.5  # type: ignore[arg-type]


def test_on_a_gpu_both_ends_wait_for_it(source, faked, monkeypatch) -> None:
    """CuPy is a stub here, whose device takes a quarter of a second to settle."""

    def synchronize():
        waits.append(faked.clock.now)
        faked.clock.now += 0.25

    waits, module = [], SimpleNamespace(cuda=SimpleNamespace(Device=lambda: SimpleNamespace(synchronize=synchronize)))
    module.__spec__ = object()  # as modules that are installed have one
    monkeypatch.setitem(sys.modules, "cupy", module)
    TimedPipeline(Setting(source, "gpu", BATCH, 2, SIZE), None).turn(4)
    assert [wait + 0.25 for wait in waits] == faked.clock.looks
    assert len(waits) == 2


def test_numbers_of_a_span() -> None:
    span = Span(images=300, seconds=2.0, cpu_seconds=3.0)
    assert (span.images_per_second, span.cores, span.cpu_ms_per_image) == (150, 1.5, 10)


def test_a_real_turn_of_full_batches(source) -> None:
    """Of more than an epoch."""
    span = TimedPipeline(Setting(source, "cpu", 4, 2, SIZE), CutMix()).turn(5)
    assert span.images == 5 * 4
    assert span.seconds > 0
    assert span.cpu_seconds > 0


def unmirrored(image, other):
    """The largest difference of two images, one of which may be mirrored."""
    return min(np.abs(image - other).max(), np.abs(image[:, :, ::-1] - other).max())


@pytest.mark.parametrize("guided", [False, True])
def test_all_see_the_same_crops_of_the_same_images(tmp_path, guided) -> None:
    """Noise, so that every crop is another picture."""
    rng = np.random.default_rng(0)
    for k in range(BATCH * 2):
        (tmp_path / str(k % 3)).mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (60, 80, 3), np.uint8)).save(tmp_path / str(k % 3) / f"{k}.png")
    noise = ImageFolder.scan(tmp_path)
    setting = Setting(noise, "cpu", BATCH, 2, SIZE)
    method = TokenMix(prob=0.0)
    heatmap_source = [StoreSource(random_store(tmp_path.parent / "noise_store", noise), method)] if guided else []
    plain, other = TimedPipeline(setting, None), TimedPipeline(setting, method, *heatmap_source)
    for _ in range(3):
        (before, labels), (images, targets) = plain.batch(), other.batch()
        assert before.shape == (BATCH, 3, SIZE, SIZE)
        assert max(map(unmirrored, before, images)) < 1e-4
        assert targets.argmax(1).tolist() == labels.tolist()
        plain.turn(2)
        other.turn(2)


def test_fewer_images_than_a_batch_are_refused(source) -> None:
    with pytest.raises(ValueError, match=f"batch_size is 16, but there are {IMAGES} images"):
        Setting(source, "cpu", IMAGES + 1, 1)


@pytest.mark.parametrize("step", [0, 4])
def test_an_image_that_cannot_be_decoded_is_named(tmp_path, step) -> None:
    source = ImageFolder.scan(one_coloured_folder(tmp_path))
    bad = source.files[Order(IMAGES, 3, training=True, drop_last=True).numbers(0, step)[0]]
    Path(bad).write_text("no picture")
    with pytest.raises(ValueError, match=f"{bad} cannot be decoded as an image"):
        TimedPipeline(Setting(source, "cpu", 3, 1, SIZE), None).turn(2)
