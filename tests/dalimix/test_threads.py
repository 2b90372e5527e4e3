"""Batches that are cut among threads."""

from __future__ import annotations

import subprocess
import sys
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event, Thread, current_thread
from time import monotonic, sleep
from typing import Any

import numpy as np
import pytest

import dalimix
from dalimix import CutMix, MixPlan, RandomChoice
from dalimix.cpu.sharing import WORTHWHILE, share
from dalimix.support.threads import allowed, threads
from tests.support.data.at_random import random_images
from tests.support.paths import ROOT
from tests.support.turns import samples

OUTPUT = np.zeros((8, WORTHWHILE), np.uint8)
PATIENCE = 60  # seconds, until a test that hangs is given up


def taken_by(count: int, output: np.ndarray = OUTPUT) -> list[int]:
    found: list[int] = []
    with threads(count):
        share(lambda turns, waits, _: found.extend(samples(turns, waits)), output)
    return sorted(found)


class NoThreads:
    """A pool that starts none, and keeps what it was given, as another thread may find it later."""

    def __init__(self) -> None:
        self.late: list[Callable[[], None]] = []

    def ask(self, work: Callable[[], None]) -> None:
        self.late.append(work)


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> NoThreads:
    pool = NoThreads()
    monkeypatch.setattr("dalimix.cpu.sharing.HELPERS", pool)
    return pool


@pytest.mark.parametrize("count", [0, 1, 2, 3, 8, 100])
def test_every_sample_is_taken_once(count: int) -> None:
    assert taken_by(count) == list(range(8))


@pytest.mark.parametrize(("count", "others"), [(0, 0), (1, 0), (2, 1), (3, 2), (8, 7), (100, 7)])
def test_as_many_threads_as_there_may_be(count: int, others: int, pool: NoThreads) -> None:
    assert taken_by(count) == list(range(8))
    assert len(pool.late) == others


def test_small_batches_stay_on_the_calling_thread(pool: NoThreads) -> None:
    taken_by(4, np.zeros((8, WORTHWHILE // 8), np.uint8))
    assert not pool.late


def test_other_threads_have_their_own_number() -> None:
    found: list[int] = []
    with threads(4):
        thread = Thread(target=lambda: found.append(allowed()))
        thread.start()
        thread.join()
    assert found == [1]


def test_the_number_is_what_it_was_afterwards() -> None:
    with threads(3), threads(4):
        pass
    assert allowed() == 1


@pytest.mark.parametrize("here", [True, False], ids=["of this thread", "of another"])
def test_an_error_in_any_thread_is_raised(here: bool) -> None:
    """When nobody works on the output any more."""
    main, both, ended = current_thread(), Barrier(2), []

    def loop(turns: np.ndarray, waits: bool, _: np.ndarray) -> None:
        for _sample in samples(turns, waits):
            if not ended:
                both.wait(timeout=PATIENCE)
            if (current_thread() is main) == here:
                raise ValueError("in a thread")
            sleep(0.1)
            ended.append(True)

    with pytest.raises(ValueError, match="in a thread"), threads(2):
        share(loop, OUTPUT)
    assert len(ended) == 7


def test_a_thread_that_cannot_be_started_is_not_waited_for(pool: NoThreads) -> None:
    output = OUTPUT.copy()
    gone, calls = weakref.ref(output), []
    with threads(3):
        share(lambda turns, waits, _: calls.extend(samples(turns, waits)), output)
    del output
    assert gone() is None
    for work in pool.late:
        work()
    assert sorted(calls) == list(range(8))


def test_a_thread_that_comes_although_none_could_be_started_is_waited_for(pool: NoThreads) -> None:
    """Its work is found by a thread of another batch, after the last sample is taken and before it is finished."""
    main, taken, done = current_thread(), Barrier(2), []

    def loop(turns: np.ndarray, waits: bool, _: np.ndarray) -> None:
        for sample in samples(turns, waits):
            if sample == 0 and current_thread() is main:
                Thread(target=pool.late[0]).start()
                taken.wait(timeout=PATIENCE)
            elif current_thread() is not main and not done:
                taken.wait(timeout=PATIENCE)
                sleep(0.3)
            done.append(sample)

    with threads(2):
        share(loop, OUTPUT)
    assert sorted(done) == list(range(8))


def test_a_signal_handler_mixes_while_work_is_handed_out() -> None:
    program = HANDLER.replace("SECONDS", "3")
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    assert done.stdout.split() == ["True"], done.stderr


def test_a_thread_that_has_finished_is_not_waited_for() -> None:
    """Another one may hold the GIL, without which it cannot end."""
    main, both, over = current_thread(), Barrier(2), Event()

    def loop(turns: np.ndarray, waits: bool, _: np.ndarray) -> None:
        both.wait(timeout=PATIENCE)
        for _sample in samples(turns, waits):
            sleep(0.5 if current_thread() is main else 0)  # in which the other thread finishes the rest
        if current_thread() is not main:
            over.wait(timeout=PATIENCE)

    start = monotonic()
    with threads(2):
        share(loop, OUTPUT)
    waited = monotonic() - start
    over.set()
    assert waited < PATIENCE / 2


def batch(seed: int) -> tuple[np.ndarray, MixPlan]:
    method = RandomChoice()
    return random_images(13, 129, 97, seed=seed), dalimix.plan(method, dalimix.draw(method, 13, seed), (129, 97))


def mixed(seed: int) -> np.ndarray:
    images, plan = batch(seed)
    return dalimix.compose(images, plan, mean=120.0, std=60.0, output_layout="CHW")


@pytest.mark.parametrize("count", [2, 3, 7])
def test_the_number_of_threads_changes_nothing(count: int) -> None:
    alone = mixed(0)
    with threads(count):
        np.testing.assert_array_equal(mixed(0), alone)


def test_eight_threads_that_mix_at_once_beside_a_busy_gil() -> None:
    alone, stop = [mixed(seed) for seed in range(8)], Event()
    busy = Thread(target=lambda: all(not stop.is_set() for _ in iter(int, 1)), daemon=True)
    busy.start()

    def work(seed: int) -> bool:
        with threads(2):
            return all(np.array_equal(mixed(seed), alone[seed]) for _ in range(5))

    try:
        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(work, range(8)))
    finally:
        stop.set()
        busy.join()


HANDLER = """
import signal, time
import numpy as np
from dalimix.cpu.sharing import share
from dalimix.support.threads import threads
from tests.support.turns import samples
output, small = np.zeros((8, 1 << 19), np.uint8), np.zeros((2, 1 << 19), np.uint8)
def loop(turns, waits, output):
    for i in samples(turns, waits):
        output[i, :9] += 1
def handler(*_):
    with threads(2):
        share(loop, small)
with threads(8):
    share(loop, output)
    handler()
    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.0011, 0.0011)
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        share(loop, output)
    signal.setitimer(signal.ITIMER_REAL, 0, 0)
print(len(set(output[:, 0].tolist())) == 1)
"""
AT_EXIT = """
import atexit
import numpy as np
from dalimix.cpu.sharing import share
from dalimix.support.threads import threads
from tests.support.turns import samples
output = np.zeros((8, 1 << 19), np.uint8)
def loop(turns, waits, output):
    for i in samples(turns, waits):
        output[i] = 1
def late():
    with threads(4):
        share(loop, output)
    print(output.all())
if IN_A_FORK:
    import os
    late()
    if os.fork():
        os.wait()
    else:
        late()
else:
    atexit.register(late)
"""


@pytest.mark.parametrize("fork", [False, True], ids=["at exit", "after a fork"])
def test_where_threads_are_missing(fork: bool) -> None:
    program = AT_EXIT.replace("IN_A_FORK", str(fork))
    command = [sys.executable, "-W", "ignore", "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["True"] * (2 if fork else 1)


@pytest.mark.parametrize("layout", ["CHW", "HWC"])
def test_the_mixers_of_torch_cut_batches_by_its_threads(layout: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    from dalimix.torch import BatchMixer

    counts: list[int] = []
    monkeypatch.setattr("dalimix.torch.batch_mixer.threads", lambda count: counts.append(count) or threads(count))
    images = torch.zeros(4, 3, 8, 3, dtype=torch.uint8)
    BatchMixer(CutMix(), 4, layout=layout)(images if layout == "CHW" else images.transpose(1, 3), torch.arange(4))
    assert counts == [torch.get_num_threads()]
