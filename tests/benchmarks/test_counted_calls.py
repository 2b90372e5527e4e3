"""What the callback of `mix` costs the host does not depend on the batch size: counted, and timed."""

import time

import numpy as np
import pytest

from benchmarks.pipeline import bench_callback
from benchmarks.pipeline.callback_cases import CASES

BATCHES = [32, 1024, 8192]
GROWTH = 1.5  # 1.2 is the goal
LAUNCHES = {  # that of the plan or those, of the pixels, and of the targets
    "Mixup": 3,
    "CutMix": 3,
    "AttentiveCutMix": 3,
    "AttentiveCutMix, heatmaps 14 × 14": 4,
    "TokenMix": 3,
    "TokenMix, heatmaps": 3,
    "TokenMix, heatmaps 7 × 7": 4,
    "SMMix": 3,
    "RandomChoice of 2": 5,
    "RandomChoice of 5": 9,
}


def test_every_method_is_counted() -> None:
    assert CASES.keys() == LAUNCHES.keys() | {f"{name}, mirror" for name in LAUNCHES}


@pytest.mark.parametrize("name", CASES)
def test_work_of_the_host_does_not_depend_on_the_batch_size(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same kernels are launched, the same functions called and the same bytecodes executed.

    C code that goes through a batch is not counted but timed, by a clock of this thread, which others do not hold up.
    """
    monkeypatch.setattr(time, "perf_counter", time.thread_time)
    for rounds in (31, 101, 301):
        rows = bench_callback.bench(name, CASES[name], BATCHES, rounds, "cpu")
        (counts,) = {(row["calls"], row["bytecodes"]) for row in rows}
        assert 50 < counts[0] < counts[1] / 2
        assert {row["launches"] for row in rows} == {LAUNCHES[name.removesuffix(", mirror")]}
        if all(row["time ÷ time at 32"] < GROWTH for row in rows):
            return
    pytest.fail(f"the host takes longer with larger batches: {rows}")


def test_times_are_those_of_their_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that shows a millisecond for each image."""
    monkeypatch.setattr(bench_callback, "whole_call", lambda case, inputs, xp: lambda _: len(inputs[0]))
    monkeypatch.setattr(bench_callback, "unwaited", lambda wait, run, index: run(index))
    rows = bench_callback.bench("CutMix", CASES["CutMix"], [2, 6], 3, "cpu")
    assert [(row["batch"], row["median µs"], row["time ÷ time at 2"]) for row in rows] == [(2, 2000, 1), (6, 6000, 3)]


def test_stubs_take_no_memory_and_no_time() -> None:
    whole = np.empty
    with bench_callback.stubs():
        first, second = (np.empty((3, 2), "uint8") for _ in range(2))
        first.fill(7)
    assert np.shares_memory(first, second)
    assert not second.any()
    assert np.empty is whole
