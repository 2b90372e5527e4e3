"""How fast every kernel is, against a copy of as many bytes.

    python -m benchmarks.kernels.bench_kernels [--device cpu|gpu] [--batch 32 …] [--only compose] [--once] [--json FILE]

Images are 224 × 224 by default. On a GPU the kernels are timed by events, and the baseline is a device copy; "host" is
how long a call keeps the host busy, without waiting for the GPU. On a CPU the functions of `dalimix.cpu` are timed with
one thread, and the baseline is `numpy.copy`. Both take turns.

GB/s count what must move: every input and output once. The copy reads half of as many bytes and writes the other half,
so "speedup" is the share of its bandwidth that a kernel reaches. Images are rotated through more memory than
the caches hold; the planners' small inputs stay in them. With `random_choice` the planners of its methods run, too.

Before a kernel is timed, it is checked: it must make what the function for the CPU makes. With --once they are only
checked: every kernel is launched once in every form, in the order of their names on the screen, for a profiler.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from statistics import median
from typing import Any

import numpy as np

from benchmarks.harness import (
    Rows,
    Run,
    Timer,
    array_module_of,
    beginning,
    compare,
    copy,
    each,
    finish,
    left_by,
    parser,
    run_script,
    shown,
    timer_of,
)
from benchmarks.kernels.jobs import Job, arrays, bytes_of, jobs
from benchmarks.tensors import one_thread
from dali_ops.cli.arguments import positive
from dali_ops.device import usable_device
from dalimix import Draws, MixPlan
from dalimix.cuda.loader import kernel_folder

BATCHES = {"cpu": [64], "gpu": [32, 64, 256, 1024, 4096]}
COPY = {"cpu": "numpy.copy", "gpu": "device copy"}
CALLS = 100  # of which the host's time is taken
LAUNCHES = 8  # between two events: so few that the host, slower than small kernels, stays ahead


def main() -> None:
    options = arguments()
    device = usable_device(options.device)
    beginning(options.only, sorted(path.stem for path in kernel_folder().glob("*.cu")))
    rows: Rows = []
    with one_thread():
        for batch in options.batch or BATCHES[device]:
            chosen = some_jobs(device, batch, options.size, options.only)
            if options.once:
                run_once(device, batch, chosen)
            else:
                rows += shown(bench(device, batch, chosen, options.rounds))
    left_out = ["the CUDA kernels (no GPU used)"] * (device == "cpu") + left_by(options.only)
    finish(options.json, device, rows, left_out + ["all times (--once)"] * options.once)


def arguments() -> argparse.Namespace:
    options = parser(__doc__)
    options.add_argument("--batch", type=positive, nargs="+", help="default: 64, on a GPU 32, 64, 256, 1024 and 4096")
    options.add_argument("--size", type=positive, default=224, help="of the images in pixels")
    options.add_argument("--only", default="", help="kernels whose name begins with this")
    options.add_argument("--once", action="store_true", help="nothing is timed: every kernel is launched once")
    return options.parse_args()


def some_jobs(device: str, batch: int, size: int, only: str) -> Iterator[Job]:
    return (job for job in jobs(array_module_of(device), batch, size) if job.kernel.startswith(only))


def run_once(device: str, batch: int, chosen: Iterable[Job]) -> None:
    for job in chosen:
        first_run(device, job)
        print(f"{job.kernel}: {job.what}, {batch}")


def bench(device: str, batch: int, chosen: Iterable[Job], rounds: int) -> Rows:
    xp, timer = array_module_of(device), timer_of(device, LAUNCHES)
    return [bench_job(device, xp, timer, job, batch, rounds) for job in chosen]


def first_run(device: str, job: Job) -> Any:
    """What comes out; a kernel's is checked."""
    first = job.run(job.inputs[0])
    if device == "gpu":
        check_kernel(job, first)
    return first


def bench_job(device: str, xp: Any, timer: Timer, job: Job, batch: int, rounds: int) -> dict[str, Any]:
    first = first_run(device, job)
    moved = job.reads + bytes_of(first)
    ours = partial(each, job.inputs, job.run)
    ms, copy_ms, speedup = compare(ours, copy(xp, moved, len(job.inputs)), rounds, timer)
    told = {"kernel": job.kernel, "what": job.what, "batch": batch, "MB": moved / 1e6, "median µs": ms * 1e3}
    told |= {"GB/s": moved / ms / 1e6} | ({"host µs": host_time(xp, ours)} if device == "gpu" else {})
    return told | {"baseline": COPY[device], "baseline median µs": copy_ms * 1e3, "speedup": speedup}


def host_time(xp: Any, run: Run) -> float:
    """Microseconds of a call alone."""
    spans = []
    for index in range(CALLS):
        start = time.perf_counter()
        run(index)
        spans.append(time.perf_counter() - start)
        xp.cuda.Device().synchronize()
    return median(spans) * 1e6


def check_kernel(job: Job, output: Any) -> None:
    """The function for the CPU makes the same, bit by bit; of a large batch of images, a part is checked."""
    given, output = job.part(job.inputs[0], output) if job.part else (job.inputs[0], output)
    expected, got = arrays(job.run(on_host(given))), arrays(on_host(output))
    same = (np.array_equal(ours[: len(its)], its) for ours, its in zip(expected, got, strict=True))
    assert all(same), f"{job.kernel}, {job.what}: GPU and CPU differ"


def on_host(given: Any) -> Any:
    """The same, of NumPy arrays."""
    if isinstance(given, Draws):
        return given.mapped(on_host)
    if isinstance(given, MixPlan):
        return replace(MixPlan(*map(on_host, given.arrays())), size=given.size)
    if isinstance(given, tuple):
        return tuple(map(on_host, given))
    return given.get() if hasattr(given, "get") else given


if __name__ == "__main__":
    run_script(main)
