"""SnapshotHeatmap: threads that run the model while another one trains it."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle

import numpy as np
import pytest
import torch
from torch import nn

from dalimix.heatmaps import ClassActivationHeatmap, SnapshotHeatmap, hooks
from dalimix.heatmaps.frozen_copy import FrozenCopy
from tests.support.models.versions import IMAGES, Versions, a_snapshot, version

GUARD = 120  # seconds; what hangs does so for good
ENOUGH = 40  # versions of the model that are seen while it is trained


@pytest.fixture
def training():
    """Runs a step again and again in a thread of its own, as fast as it can, until the test has ended."""
    stop, threads, failed = threading.Event(), [], []

    def start(step):
        def loop():
            try:
                while not stop.is_set():
                    step()
            except Exception as error:
                failed.append(error)

        threads.append(threading.Thread(target=loop))
        threads[0].start()

    yield start
    stop.set()
    threads[0].join()
    assert not failed


def prefetcher(model, snapshot):
    versions = iter(range(1, 1 << 24))  # float32 holds them all

    def step():
        model.train_to(next(versions))
        snapshot.step()

    return step


def rising(read):
    """Many versions, none after a later one; an array that is read is what was said of one batch."""
    last, versions, end = -1.0, 0, time.monotonic() + GUARD
    while versions < ENOUGH:
        assert time.monotonic() < end
        row = read()
        assert (row == row.flat[0]).all(), "a model was half updated"
        assert row.flat[0] >= last
        versions += row.flat[0] > last
        last = row.flat[0]


def test_a_running_pipeline_never_sees_a_half_updated_model(training):
    pytest.importorskip("nvidia.dali")
    import dali_ops
    from tests.support.pipelines import build, images_and_labels, run

    model = Versions()
    snapshot = a_snapshot(model)

    def body():
        return dali_ops.model_heatmaps(images_and_labels()[0], snapshot, predictions=True)

    pipeline = build(body)
    training(prefetcher(model, snapshot))
    rising(lambda: np.concatenate([part.reshape(-1) for part in run(pipeline)[0]]))


def test_several_readers_never_see_a_half_updated_model(training):
    """Two of them run both copies at once."""
    model = Versions()
    snapshot = a_snapshot(model)
    training(prefetcher(model, snapshot))

    def read():
        return snapshot.observe(IMAGES)[1].numpy()

    with ThreadPoolExecutor(2) as pool:
        for reading in [pool.submit(rising, read) for _ in range(2)]:
            reading.result()


class SlowActivation(ClassActivationHeatmap):
    def _heatmaps(self, *seen):
        time.sleep(0.002)
        return super()._heatmaps(*seen)


def test_the_weights_that_a_provider_reads_after_the_model_ran_are_of_the_same_version(training):
    """Class activation: 3 channels of 3 · version, times weights of version. In between, a refresh wants in."""
    model = nn.Sequential(nn.Conv2d(3, 3, 1, bias=False), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))
    snapshot, versions = SnapshotHeatmap(SlowActivation(model, "0", "3")), cycle(range(1, 1001))

    def step():
        value = next(versions)
        for parameter in model.parameters():
            parameter.data.fill_(value)
        snapshot.step()

    step()
    training(step)
    label, ones = torch.zeros(1, dtype=torch.int64), torch.ones(1, 3, 2, 2)
    right, seen, end = {9.0 * value**2 for value in range(1, 1001)}, set(), time.monotonic() + GUARD
    while len(seen) < ENOUGH:
        assert time.monotonic() < end
        seen.add(snapshot(ones, label)[0, 0, 0].item())
        assert seen <= right


class Blocked(Versions):
    """Stops in the middle of a forward pass, if it is told to."""

    gate, inside, blocks = threading.Event(), threading.Event(), False  # of the class: copies have the same ones

    def forward(self, images):
        if Blocked.blocks:
            self.inside.set()
            assert self.gate.wait(GUARD)
        return super().forward(images)


def test_refreshing_does_not_wait_for_a_forward_pass_however_often():
    model = Blocked(pause=0)
    snapshot = a_snapshot(model)
    with ThreadPoolExecutor(1) as pool:
        Blocked.blocks = True
        running = pool.submit(version, snapshot)
        assert Blocked.inside.wait(GUARD)
        for number in range(1, 6):
            model.train_to(number)
            snapshot.refresh()
            assert not running.done()  # it is still blocked
        Blocked.blocks = False
        assert version(snapshot) == 5
        Blocked.gate.set()
        assert running.result(GUARD) == 0
        assert version(snapshot) == 5


def test_a_reader_that_was_late_to_lock_runs_a_whole_newer_model(monkeypatch):
    """Between its picking a copy and locking it, two refreshes write both."""
    model = Versions(pause=0)
    snapshot = a_snapshot(model)

    class Late:
        def __init__(self, lock):
            self.lock = lock

        def __enter__(self):
            monkeypatch.setitem(hooks._LOCKS, picked, self.lock)
            for number in (1, 2):
                model.train_to(number)
                snapshot.refresh()
            self.lock.acquire()

        def __exit__(self, *_):
            self.lock.release()

    picked = snapshot._current
    monkeypatch.setitem(hooks._LOCKS, picked, Late(picked.lock))
    assert version(snapshot) == 2
    assert version(snapshot) == 2


def test_a_forward_pass_does_not_wait_for_a_refresh(monkeypatch):
    """The copy that is written is the one that nobody is about to run."""
    model = Versions(pause=0)
    snapshot, inside, gate = a_snapshot(model), threading.Event(), threading.Event()
    load = FrozenCopy.load

    def slowly(copy, model):
        inside.set()
        assert gate.wait(GUARD)
        load(copy, model)

    monkeypatch.setattr(FrozenCopy, "load", slowly)
    model.train_to(1)
    with ThreadPoolExecutor(2) as pool:
        refreshing = pool.submit(snapshot.refresh)
        assert inside.wait(GUARD)
        try:
            assert pool.submit(version, snapshot).result(GUARD) == 0
        finally:
            gate.set()
        refreshing.result(GUARD)
    assert version(snapshot) == 1


def test_a_copy_is_the_current_one_before_its_lock_is_released(monkeypatch):
    """Else a reader that was late to lock could run it, and then an older one."""
    snapshot, told = a_snapshot(), []

    class Spy:
        def __init__(self, copy):
            self.copy, self.lock = copy, copy.lock
            monkeypatch.setitem(hooks._LOCKS, copy, self)

        def acquire(self, blocking=True):
            return self.lock.acquire(blocking)

        def release(self):
            told.append(snapshot._current is self.copy)
            self.lock.release()

    spies = [Spy(snapshot._current), Spy(snapshot._other)]
    for _ in spies * 2:
        snapshot.refresh()
    assert told == [True] * 4
