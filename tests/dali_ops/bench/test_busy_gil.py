"""A thread that keeps the GIL busy does so, and ends."""

import sys
import time

import pytest

from dali_ops.bench.busy_gil import BusyGil
from tests.support.project.benchmarks import busy_threads


@pytest.fixture
def _slow_switches():
    """Who waits for the GIL gets it after 0.2 s, not 5 ms, so that it shows on any machine."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(0.2)
    yield
    sys.setswitchinterval(usual)


def nap():
    """Seconds of a nap of a millisecond."""
    start = time.perf_counter()
    time.sleep(0.001)
    return time.perf_counter() - start


@pytest.mark.usefixtures("_slow_switches")
def test_the_gil_is_really_busy() -> None:
    assert any(nap() < 0.1 for _ in range(1000))
    with BusyGil() as busy:
        before = busy.cpu_seconds()
        assert any(nap() > 0.15 for _ in range(1000))
        assert busy.cpu_seconds() - before > 0


def test_the_busy_thread_ends() -> None:
    with BusyGil():
        assert len(busy_threads()) == 1
    assert not busy_threads()
    with pytest.raises(KeyError), BusyGil():
        raise KeyError
    assert not busy_threads()
