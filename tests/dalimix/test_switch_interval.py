"""Loops that give up the GIL get it back soon, and Python's switch interval stays the user's."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from threading import Event, Thread

import numpy as np
import pytest

import dalimix
from dali_ops.bench.busy_gil import BusyGil
from dalimix import CutMix, cpu
from dalimix.support.switch_interval import SHORT, ShortSwitchInterval
from tests.support.data.at_random import random_images

USUAL = 0.02  # seconds
LONG = 0.4
BATCH = 4
IMAGES = random_images(BATCH, 32, 32)
PLAN = dalimix.plan(CutMix(), dalimix.draw(CutMix(), BATCH, 0), 32)
COARSE = np.random.default_rng(0).random((BATCH, 5, 5), np.float32)
WINDOWS = np.tile([0.1, 0.1, 0.5, 0.5], (BATCH, 1))
SHORT_ENOUGH = pytest.approx(SHORT, rel=0.1)


@pytest.fixture(autouse=True)
def _usual_interval() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(USUAL)
    yield
    sys.setswitchinterval(before)


LOOPS: dict[str, Callable[[], object]] = {
    "compose._compose": lambda: dalimix.compose(IMAGES, PLAN),
    "soft_labels._soft_labels": lambda: dalimix.soft_labels(np.arange(BATCH), PLAN, 10),
    "resample_heatmaps._resample": lambda: cpu.resample_heatmaps(COARSE, 7),
    "heatmap_crop._heatmap_crop": lambda: cpu.heatmap_crop(COARSE, np.arange(BATCH), WINDOWS, 7),
}


@pytest.mark.parametrize("name", LOOPS)
def test_a_loop_that_gives_up_the_gil_gets_it_back_soon(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    file, function = name.split(".")
    module = sys.modules[f"dalimix.cpu.{file}"]
    seen, loop = [], getattr(module, function)
    monkeypatch.setattr(module, function, lambda *given: (seen.append(sys.getswitchinterval()), loop(*given)))
    LOOPS[name]()
    assert seen == [SHORT_ENOUGH]
    assert sys.getswitchinterval() == pytest.approx(USUAL)


def test_so_a_busy_thread_cannot_keep_it() -> None:
    """Of some tries one is enough, as the system may let this thread wait, too."""
    with BusyGil():
        sys.setswitchinterval(LONG)
        took = min(seconds_of_a_nap() for _ in range(5))
        sys.setswitchinterval(USUAL)
    assert took < LONG / 2


def seconds_of_a_nap() -> float:
    start = time.monotonic()
    with ShortSwitchInterval():
        time.sleep(0.01)  # without the GIL
        return time.monotonic() - start


def test_the_interval_is_the_users_again() -> None:
    with ShortSwitchInterval():
        assert sys.getswitchinterval() == SHORT_ENOUGH
    assert sys.getswitchinterval() == pytest.approx(USUAL)
    with pytest.raises(KeyError), ShortSwitchInterval():
        raise KeyError
    assert sys.getswitchinterval() == pytest.approx(USUAL)


@pytest.mark.parametrize("chosen", [SHORT / 10, 0.5])
def test_what_somebody_chooses_meanwhile_stays(chosen: float) -> None:
    with ShortSwitchInterval():
        sys.setswitchinterval(chosen)
    assert sys.getswitchinterval() == pytest.approx(chosen)


def test_an_interval_that_is_shorter_stays() -> None:
    sys.setswitchinterval(SHORT / 10)
    with ShortSwitchInterval():
        assert sys.getswitchinterval() == pytest.approx(SHORT / 10)
    assert sys.getswitchinterval() == pytest.approx(SHORT / 10)


@pytest.mark.parametrize("first_ends", [False, True])
def test_two_threads(first_ends: bool) -> None:
    begun, may_end = Event(), Event()

    def other() -> None:
        with ShortSwitchInterval():
            begun.set()
            may_end.wait()

    thread = Thread(target=other)
    with ShortSwitchInterval():
        thread.start()
        begun.wait()
        if not first_ends:
            may_end.set()
            thread.join()
    may_end.set()
    thread.join()
    assert sys.getswitchinterval() == pytest.approx(USUAL)


def test_a_process_that_is_forked_meanwhile() -> None:
    with ShortSwitchInterval():
        child = os.fork()
        if not child:
            os._exit(sys.getswitchinterval() != pytest.approx(USUAL))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
