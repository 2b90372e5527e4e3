"""SnapshotHeatmap on a GPU: the streams that refresh and run its copies wait for each other."""

from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from dalimix.heatmaps import frozen_copy
from tests.support.backends import need_gpu
from tests.support.models.versions import IMAGES, Versions, a_snapshot


class Stream:
    """Of a GPU that is not there: what was queued, in order."""

    def __init__(self, name, queue):
        self.name, self.queue = name, queue

    def wait_event(self, event):
        self.queue.append((self.name, "waits for", event.recorded))


class Event:
    recorded = None

    def record(self, stream):
        self.recorded = stream.name


def test_on_a_gpu_every_use_comes_after_the_last_one_whatever_its_stream(monkeypatch):
    """No GPU is touched: streams and events are stand-ins that write down what they are asked to do."""
    queue: list[Any] = []
    monkeypatch.setattr(torch.cuda, "Event", Event)
    order = frozen_copy.StreamOrder(torch.device("cuda", 1))
    for name in ("training", "pipeline", "training"):
        monkeypatch.setattr(torch.cuda, "current_stream", lambda device, name=name: Stream((name, device.index), queue))
        with order.kept():
            queue.append(name)
    assert queue == [
        (("training", 1), "waits for", None),
        "training",
        (("pipeline", 1), "waits for", ("training", 1)),
        "pipeline",
        (("training", 1), "waits for", ("pipeline", 1)),
        "training",
    ]


def test_a_failed_use_is_a_use(monkeypatch):
    """Its kernels may be under way."""
    queue: list[Any] = []
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Stream("stream", queue))
    order = frozen_copy.StreamOrder(torch.device("cuda", 0))
    with pytest.raises(ArithmeticError), order.kept():
        raise ArithmeticError
    assert order._last_use.recorded == "stream"


class Watch(TorchDispatchMode):
    """Writes down the operations on tensors that run while it is entered: all of them, and those out of order."""

    def __init__(self, monkeypatch):
        super().__init__()
        self.kept, self.seen, self.unordered = 0, [], []
        monkeypatch.setattr(frozen_copy.StreamOrder, "kept", self.stand_in())

    def stand_in(self):
        @contextmanager
        def kept(_order):
            self.kept += 1
            yield
            self.kept -= 1

        return kept

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        if any(isinstance(arg, torch.Tensor) for arg in args):
            self.seen.append(name)
            self.unordered += [] if self.kept else [name]
        return function(*args, **(kwargs or {}))


def test_a_copy_is_made_run_and_written_in_stream_order(monkeypatch):
    """All that is computed for it, seen on the CPU."""
    model = Versions(pause=0)
    with Watch(monkeypatch) as making:
        snapshot = a_snapshot(model)
    with Watch(monkeypatch) as running:
        snapshot.observe(IMAGES)
    with Watch(monkeypatch) as writing:
        snapshot.refresh()
    assert [making.seen.count("clone"), running.seen.count("max"), writing.seen.count("copy_")] == [2 * 4, 5, 5]
    assert [making.unordered, running.unordered, writing.unordered] == [[], [], []]


@pytest.fixture
def streams(request):
    """A model on the GPU, images, a stream for training and one for reading; both have their memory already."""
    need_gpu(request)
    model, images, training, reading = Versions().cuda(), IMAGES.cuda(), torch.cuda.Stream(), torch.cuda.Stream()
    torch.cuda.synchronize()
    for stream in (training, reading):
        with torch.cuda.stream(stream):
            a_snapshot(model).observe(images)
    torch.cuda.synchronize()
    return model, images, training, reading


def queued(snapshot, images):
    """The version that reading tells, still to be computed."""
    heatmaps, output = snapshot.observe(images)
    return torch.cat([heatmaps.flatten(), output.flatten()])


@pytest.mark.cuda
def test_a_stream_that_reads_while_another_one_refreshes_sees_whole_models(streams):
    """The host queues it all at once and waits for nothing. Reading takes its stream longer than all the writing."""
    model, images, training, reading = streams
    told = []
    snapshot = a_snapshot(model)
    torch.cuda.synchronize()
    for number in range(1, 21):
        with torch.cuda.stream(training):
            model.train_to(number)
            for _ in range(2):  # both copies, so also the one that is being read
                snapshot.refresh()
        with torch.cuda.stream(reading):
            told.append(queued(snapshot, images))
    torch.cuda.synchronize()
    assert [versions.unique().tolist() for versions in told] == [[number] for number in range(1, 21)]


@pytest.mark.cuda
def test_a_stream_that_reads_at_once_waits_until_the_copies_are_made(streams):
    model, images, training, reading = streams
    with torch.cuda.stream(training):
        torch.cuda._sleep(1 << 28)
        model.train_to(1)
        snapshot = a_snapshot(model)
    with torch.cuda.stream(reading):
        told = queued(snapshot, images)
    torch.cuda.synchronize()
    assert told.unique().tolist() == [1]
