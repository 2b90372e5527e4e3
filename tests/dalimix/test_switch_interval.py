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
from dalimix.support import switch_interval
from dalimix.support.switch_interval import SHORT, soon_back
from tests.support.data.at_random import random_images

USUAL = 0.02  # seconds
LONG = 0.4
BATCH = 4
IMAGES = random_images(BATCH, 32, 32)
PLAN = dalimix.plan(CutMix(), dalimix.draw(CutMix(), BATCH, 0), 32)
COARSE = np.random.default_rng(0).random((BATCH, 5, 5), np.float32)
WINDOWS = np.tile([0.1, 0.1, 0.5, 0.5], (BATCH, 1))
SHORT_ENOUGH = pytest.approx(SHORT * 1e-6, rel=0.02)


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
    return soon_back(lambda: (time.sleep(0.01), time.monotonic())[1]) - start  # it sleeps without the GIL


def microseconds() -> int:
    return round(sys.getswitchinterval() * 1e6)


def test_the_interval_is_the_users_again() -> None:
    assert soon_back(microseconds) == SHORT
    assert sys.getswitchinterval() == pytest.approx(USUAL)
    with pytest.raises(KeyError):
        soon_back({}.__getitem__, 0)
    assert sys.getswitchinterval() == pytest.approx(USUAL)


@pytest.mark.parametrize("chosen", [10, SHORT + 1, 100, 500_000])
def test_what_somebody_chooses_meanwhile_stays(chosen: int) -> None:
    soon_back(sys.setswitchinterval, (chosen + 0.5) * 1e-6)
    assert microseconds() == chosen


@pytest.mark.parametrize("chosen", [10, SHORT + 1, 100])
def test_an_interval_that_is_shorter_or_hardly_longer_stays(chosen: int) -> None:
    sys.setswitchinterval((chosen + 0.5) * 1e-6)
    for _ in range(5):
        assert soon_back(microseconds) == min(chosen, SHORT)
        assert microseconds() == chosen


def test_one_within_another() -> None:
    """Loops in a callback: the interval stays short until its end."""
    assert soon_back(lambda: (soon_back(microseconds), microseconds())) == (SHORT, SHORT)
    assert sys.getswitchinterval() == pytest.approx(USUAL)


class BesideAThread:
    """``with BesideAThread() as thread``: meanwhile another thread is within `soon_back`, until ``thread.end()``."""

    def __enter__(self) -> BesideAThread:
        begun, self._may_end = Event(), Event()
        self._thread = Thread(target=soon_back, args=(lambda: (begun.set(), self._may_end.wait()),))
        self._thread.start()
        begun.wait()
        return self

    def end(self) -> None:
        self._may_end.set()
        self._thread.join()

    def __exit__(self, *error: object) -> None:
        self.end()


@pytest.mark.parametrize("first_ends", [False, True])
def test_two_threads(first_ends: bool) -> None:
    with BesideAThread() as thread:
        soon_back(thread.end if first_ends else microseconds)
        assert sys.getswitchinterval() == pytest.approx(USUAL)
    assert sys.getswitchinterval() == pytest.approx(USUAL)


def test_whoever_puts_back_what_was_short_is_healed() -> None:
    with BesideAThread() as thread:
        found = sys.getswitchinterval()
        sys.setswitchinterval(0.001)
        thread.end()
        sys.setswitchinterval(found)
    soon_back(microseconds)
    assert sys.getswitchinterval() == pytest.approx(USUAL)


@pytest.mark.parametrize("where", ["_shorten", "_as_usual"])
@pytest.mark.parametrize("after", [False, True])
def test_an_interrupt_is_healed_by_the_next_call(where: str, after: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes before or after what `where` does."""
    does = getattr(switch_interval, where)

    def interrupted() -> None:
        if after:
            does()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(switch_interval, where, interrupted)
        with pytest.raises(KeyboardInterrupt):
            soon_back(microseconds)
    assert soon_back(microseconds) == SHORT
    assert sys.getswitchinterval() == pytest.approx(USUAL)


def of_a_child() -> int:
    """Microseconds of a process that is forked now; 250 at most, or 255."""
    child = os.fork()
    if not child:
        os._exit(min(microseconds(), 255))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_process_that_is_forked_meanwhile() -> None:
    sys.setswitchinterval(200.5e-6)
    with BesideAThread():
        assert microseconds() == SHORT
        assert of_a_child() == 200


@pytest.mark.parametrize("chosen", [10, 100])
def test_the_users_own_interval_in_a_forked_process(chosen: int) -> None:
    sys.setswitchinterval((chosen + 0.5) * 1e-6)
    assert of_a_child() == chosen
