"""What a mixed batch costs the host: how long the callback of `dali_ops.mix` takes on the GPU way.

    python -m benchmarks.pipeline.bench_callback [--device cpu|gpu] [--batch 32 1024 …] [--only CutMix] [--json FILE]

On a GPU: CuPy arrays go in, kernels are queued, and the time is taken without waiting for them; before the next call
they are waited for. Without one, NumPy arrays stand for CuPy's, kernels are stubs that do nothing, and `numpy.empty`
hands out the same arrays again and again, as CuPy's pool does: to map hundreds of megabytes for every output would
take longer than all else. What is left is our Python. A launch takes some microseconds more; how many there are, the
table says. The callback is called as DALI calls it, but not by DALI.

The goal is 150 µs at most, better 80, launches and all; and the same for every batch size: at most 1.2 times as long
as for the smallest, in the median of the rounds. Two counts do not depend on what else the machine does: functions
called, in Python or in C, and bytecodes executed. Both must be the same for every batch size.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import cache, partial
from typing import Any
from unittest.mock import patch

import numpy as np

from benchmarks.harness import (
    Rows,
    Run,
    array_module_of,
    beginning,
    between,
    finish,
    left_by,
    parser,
    run_script,
    shown,
    take_turns,
)
from benchmarks.pipeline.callback_cases import CASES, Case
from benchmarks.pipeline.launches import launchers_on_numpy, launches_of
from dali_ops.cli.arguments import positive
from dali_ops.device import usable_device
from dali_ops.operators import bridge

CHECKED = 4  # images, of which the results are checked
STUBBED = "what the GPU way costs beyond our Python: launches, CuPy's arrays and memory (no GPU used)"
PAIRS = "form='pair': its copies of labels and weights are CuPy's"
DALI = "DALI's own part of a call"


def main() -> None:
    options = arguments()
    device = usable_device(options.device)
    cases = {name: CASES[name] for name in beginning(options.only, CASES)}
    with no_garbage_collection():
        rows = [row for name, case in cases.items() for row in bench(name, case, options.batch, options.rounds, device)]
    left_out = [*([STUBBED] if device == "cpu" else []), PAIRS, DALI, *left_by(options.only)]
    finish(options.json, device, shown(rows), left_out)


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """As timeit does."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def arguments() -> argparse.Namespace:
    options = parser(__doc__, rounds=201)
    options.add_argument("--batch", type=positive, nargs="+", default=[32, 64, 256, 1024])
    options.add_argument("--only", default="", help="methods whose name begins with this")
    return options.parse_args()


def bench(name: str, case: Case, batches: list[int], rounds: int, device: str) -> Rows:
    """A row for every batch size."""
    xp = array_module_of(device)
    launches = check(name, case, xp)
    inputs = [case.inputs(batch, xp, zeros=True) for batch in batches]
    with nullcontext() if device == "gpu" else stubs():
        runs = [whole_call(case, arrays, xp) for arrays in inputs]
        spans = take_turns(runs, rounds, partial(unwaited, wait_of(xp)))
        counts = [counted(run) for run in runs]
    rows = []
    for place, (batch, count) in enumerate(zip(batches, counts, strict=True)):
        _, ms, growth = between(spans, 0, place)
        times = {"median µs": ms * 1e3, f"time ÷ time at {batches[0]}": growth}
        rows.append({"what": name, "batch": batch, **times, "launches": launches, **count})
    return rows


def check(name: str, case: Case, xp: Any) -> int:
    """How many kernels are launched. On a GPU, the results are checked; stubs compute none, only shapes and types."""
    outputs: list[Any] = []
    arrays = case.inputs(CHECKED, xp)
    launches = launches_of(lambda: outputs.extend(case.mixer(*arrays)))
    if xp is not np:
        outputs = case.mixer(*arrays)
    for ours, expected in zip(outputs, case.mixer(*case.inputs(CHECKED, np)), strict=True):
        assert (ours.shape, ours.dtype) == (expected.shape, expected.dtype), f"{name}: shapes or types differ"
        assert xp is np or np.array_equal(ours.get(), expected), f"{name}: GPU and CPU differ"
    return len(launches)


def whole_call(case: Case, inputs: list[Any], xp: Any) -> Run:
    """The callback that the bridge gives to DALI, with its inputs."""
    callback = bridge._gpu_callback(case.mixer, tensors=False)
    stream = xp.cuda.Stream() if xp is not np else None  # kept by what is returned
    return lambda _: callback(getattr(stream, "ptr", None), *inputs)


def wait_of(xp: Any) -> Callable[[], object]:
    return (lambda: None) if xp is np else xp.cuda.runtime.deviceSynchronize


def unwaited(wait: Callable[[], object], run: Run, index: int) -> float:
    """Milliseconds of one run on the host. Its outputs are kept until the clock has stopped."""
    start = time.perf_counter()
    outputs = run(index)
    span = time.perf_counter() - start
    wait()
    del outputs
    return span * 1e3


def counted(run: Run) -> dict[str, int]:
    """How many functions one run calls, in Python and in C, and how many bytecodes it executes."""
    return {"calls": calls_of(run), "bytecodes": bytecodes_of(run)}


def calls_of(run: Run) -> int:
    events: Counter[str] = Counter()
    sys.setprofile(lambda frame, event, _: events.update([event]))
    run(0)
    sys.setprofile(None)
    return events["call"] + events["c_call"]


def bytecodes_of(run: Run) -> int:
    events: Counter[str] = Counter()

    def trace(frame: Any, event: str, _: Any) -> Any:
        frame.f_trace_opcodes = True
        events[event] += 1
        return trace

    sys.settrace(trace)
    run(0)
    sys.settrace(None)
    return events["opcode"]


class Pooled(np.ndarray):
    """Memory that is filled on a GPU is filled by the device."""

    def fill(self, value: Any) -> None:
        pass


Pooled.__module__ = "numpy"  # by which `array_module` knows whose an array is


@contextmanager
def stubs() -> Iterator[None]:
    """For all that needs a GPU. What is patched is patched where it is looked up, so that all around it still runs."""

    @cache
    def load_kernel(name: str, **symbols: str | int) -> Callable[..., None]:
        return lambda grid, block, arguments: None

    @cache
    def empty(shape: tuple[int, ...], dtype: Any) -> Any:
        return np.zeros(shape, dtype).view(Pooled)  # mapped, but as no kernel runs, never touched

    with (
        launchers_on_numpy(load_kernel),
        patch.object(np, "empty", empty),
        patch.object(bridge, "_from_dlpack", lambda *_: np.from_dlpack),
        patch.object(bridge, "borrowed_stream", lambda _: nullcontext()),
    ):
        yield


if __name__ == "__main__":
    run_script(main)
