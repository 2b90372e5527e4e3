"""What the callback of `mix` costs the host does not depend on the batch size; the benchmark that shows it runs."""

import importlib
import json
import subprocess
import sys
import time
from itertools import groupby

import numpy as np
import pytest

from tests.support.paths import BENCHMARKS

pytest.importorskip("nvidia.dali")

BATCHES = 32, 1024, 8192
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


def run(folder, *arguments):
    """The rows, the sentences after them, and what is shown."""
    out = folder / "callback.json"
    command = [sys.executable, "bench_callback.py", "--device", "cpu", "--json", str(out), *map(str, arguments)]
    done = subprocess.run(command, cwd=BENCHMARKS, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    result = json.loads(out.read_text())
    return result["rows"], result["left out"], done.stdout


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    return run(tmp_path_factory.mktemp("callback"), "--batch", *BATCHES, "--rounds", 31)


def slower(rows):
    return [row["what"] for row in rows if row["time ÷ time at 32"] > GROWTH]


def test_every_method_is_measured(measured):
    rows, left_out, text = measured
    launches = LAUNCHES | {f"{name}, mirror": count for name, count in LAUNCHES.items()}
    assert [(row["what"], row["batch"]) for row in rows] == [(name, batch) for name in launches for batch in BATCHES]
    assert {row["what"]: row["launches"] for row in rows} == launches
    assert all(row["median µs"] > 0 for row in rows)
    calls = {row["what"]: row["calls"] for row in rows}
    assert all(calls[f"{name}, mirror"] > calls[name] for name in LAUNCHES)
    assert any("no GPU used" in what for what in left_out)
    assert all(f"left out: {what}" in text for what in left_out)


def test_work_of_the_host_does_not_depend_on_the_batch_size(measured):
    """Counted, not timed: the same functions are called and the same bytecodes executed."""
    for name, rows in groupby(measured[0], key=lambda row: row["what"]):
        (counts,) = {(row["calls"], row["bytecodes"]) for row in rows}
        assert 50 < counts[0] < counts[1] / 2, name


@pytest.fixture
def script(monkeypatch):
    """The benchmark as a module, with what stands beside it."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("bench_callback")


def test_time_of_the_host_does_not_grow_with_the_batch_size(script, monkeypatch):
    """C code that goes through a batch is not counted. By a clock of this thread, which others do not hold up."""
    monkeypatch.setattr(script.time, "perf_counter", time.thread_time)
    for name, case in script.CASES.items():
        tries = (script.bench(name, case, BATCHES, rounds, "cpu") for rounds in (31, 101, 301))
        assert not all(slower(rows) for rows in tries), name


def test_times_are_those_of_their_batches(script, monkeypatch):
    """A clock that shows a millisecond for each image."""
    monkeypatch.setattr(script, "whole_call", lambda case, inputs, xp: lambda _: len(inputs[0]))
    monkeypatch.setattr(script, "unwaited", lambda wait, run, index: run(index))
    rows = script.bench("CutMix", script.CASES["CutMix"], [2, 6], 3, "cpu")
    assert [(row["batch"], row["median µs"], row["time ÷ time at 2"]) for row in rows] == [(2, 2000, 1), (6, 6000, 3)]


def test_stubs_take_no_memory_and_no_time(script):
    whole = np.empty
    with script.stubs():
        first, second = (np.empty((3, 2), "uint8") for _ in range(2))
        first.fill(7)
    assert np.shares_memory(first, second)
    assert not second.any()
    assert np.empty is whole
