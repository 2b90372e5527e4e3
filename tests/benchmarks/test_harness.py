"""The clocks of the benchmarks are fair."""

import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks import harness


@pytest.fixture
def on_gpu(monkeypatch: pytest.MonkeyPatch) -> Callable[..., harness.OnGpu]:
    """Made with a CuPy whose device is through with so many fills before the host is through with its launches."""

    def make(enough: int, **options: int) -> harness.OnGpu:
        filled: list[int] = []

        class Event:
            before = 0
            done = property(lambda self: self.before < enough)

            def record(self) -> None:
                self.before = len(filled)
                filled.clear()

            def synchronize(self) -> None:
                pass

        work = SimpleNamespace(fill=filled.append)
        cuda = SimpleNamespace(Event=Event, get_elapsed_time=lambda start, end: float(start.before))
        monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(cuda=cuda, empty=lambda *_: work, uint8="uint8"))
        return harness.OnGpu(**options)

    return make


@pytest.mark.parametrize(("enough", "fills"), [(0, [4]), (5, [4, 8]), (10**9, [4, 8, 16, 32, 64])])
def test_the_device_is_kept_busy_until_the_host_is_ahead(on_gpu: Any, enough: int, fills: list[int]) -> None:
    """What is timed is the last try; the next run begins with as many fills. At some point it is given up."""
    timer, calls = on_gpu(enough, launches=2), []
    assert timer(calls.append, 3) == fills[-1] / 2
    assert calls == [6, 7] * len(fills)
    assert timer(calls.append, 4) == fills[-1] / 2
    assert calls[2 * len(fills) :] == [8, 9]


def test_a_copy_is_of_different_sources_to_new_memory() -> None:
    copy = harness.copy(np, 2 * 24_001, 3)
    outputs: list[Any] = [copy(index) for index in range(3)]
    assert {output.nbytes for output in outputs} == {24_001}
    assert not any(np.shares_memory(outputs[0], other) for other in [*outputs[1:], copy(0)])


def test_all_take_turns_in_changing_order() -> None:
    """Every one once in a round, none always after the same one; and only the rounds that count are returned."""
    seen: list[tuple[int, Any]] = []

    def timer(run: harness.Run, index: int) -> float:
        seen.append((index, run(index)))
        return float(seen[-1][1])

    def giving(k: int) -> harness.Run:
        return lambda _: k

    spans = harness.take_turns([giving(k) for k in range(3)], 20, timer)
    assert spans == [[0.0, 1.0, 2.0]] * 20
    orders = {tuple(run for round, run in seen if round == index) for index in range(20)}
    assert all(sorted(order) == [0, 1, 2] for order in orders)
    assert len(orders) > 3
    assert min(index for index, _ in seen) < 0


def test_the_speedup_is_the_median_of_the_rounds() -> None:
    """Baseline ÷ ours in every round: 3, 2, 1; the quotient of the medians would be 1.5."""
    assert harness.between([[1, 3], [2, 4], [6, 6]], ours=0, baseline=1) == (2, 4, 2)
