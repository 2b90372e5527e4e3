"""What the benchmarks share: their options, interleaved timing, tables and JSON."""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from importlib import import_module
from itertools import groupby
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch

import dalimix
from dali_ops.bench.environment import environment_of, write_results
from dali_ops.cli.arguments import positive
from dali_ops.cli.output import sentence
from dali_ops.sources import ImageFolder

Rows = list[dict[str, Any]]
Times = tuple[float, float, float]  # median milliseconds of ours and of the baseline, and the median speedup
UNITS = {"cpu": "ms", "gpu": "µs"}  # of the times in a table
CACHES = 256 << 20  # bytes; more than the last cache of any device here
MOST_FILLS = 64  # some tens of milliseconds
WARM_UP = 2  # rounds that do not count, at least
READY = 4  # batches that a pipeline may have made ready while others had their turn
Run = Callable[[int], object]  # gets the number of the round, to rotate its inputs
Timer = Callable[[Run, int], float]  # milliseconds of a run


def parser(description: str | None, rounds: int | None = 21, device: bool = True) -> argparse.ArgumentParser:
    """With the options that scripts share: --rounds where something is timed, --device where there is a choice."""
    shared = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    if device:
        shared.add_argument("--device", choices=["cpu", "gpu"], help="default: the GPU if there is one")
    if rounds is not None:
        shared.add_argument(
            "--rounds", type=positive, default=rounds, help="medians are of so many (default: %(default)s)"
        )
    shared.add_argument("--json", type=Path, help="write the results here, too")
    return shared


def run_script(main: Callable[[], None]) -> None:
    """A user's mistake ends in one line, as it does with the command line ``dalimix``."""
    try:
        main()
    except (ImportError, ValueError, TypeError, OSError, RuntimeError, MemoryError) as error:
        sys.exit(sentence(error))
    except KeyboardInterrupt:
        sys.exit("stopped")


def beginning(only: str, names: Iterable[str]) -> list[str]:
    """Those of the names that begin with what was given as --only; an error if none does."""
    known = list(dict.fromkeys(names))
    chosen = [name for name in known if name.startswith(only)]
    if not chosen:
        raise ValueError(f"--only {only}: no name begins so; there are {'; '.join(known)}")
    return chosen


def on_cpu(run: Run, index: int) -> float:
    """Milliseconds of one run."""
    start = time.perf_counter()
    run(index)
    return (time.perf_counter() - start) * 1e3


class OnGpu:
    """Milliseconds of one run, from CUDA events around many.

    Before the first event the device is given about a millisecond of other work, so that the host, which launches
    slower than small kernels run, is ahead. Where the device is through with that before the host is, it gets twice as
    much, and all is timed again. What has more launches than a queue holds keeps the host waiting whatever the device
    has to do: that is timed with the most of other work. The last outputs are kept, so that not all are written to the
    same memory.
    """

    def __init__(self, launches: int = 20, outputs: int = 8) -> None:
        import cupy

        self.launches = launches
        self.kept: deque[object] = deque(maxlen=outputs)
        self.start, self.end = cupy.cuda.Event(), cupy.cuda.Event()
        self.work, self.fills = cupy.empty(1 << 31, cupy.uint8), 4

    def __call__(self, run: Run, index: int) -> float:
        while not self.ahead(run, index) and self.fills < MOST_FILLS:
            self.fills *= 2
        import cupy

        spent: float = cupy.cuda.get_elapsed_time(self.start, self.end)
        return spent / self.launches

    def ahead(self, run: Run, index: int) -> bool:
        """Whether the host had launched all before the device began."""
        for _ in range(self.fills):
            self.work.fill(0)
        self.start.record()
        for launch in range(self.launches):
            self.kept.append(run(index * self.launches + launch))
        self.end.record()
        ahead = not self.start.done
        self.end.synchronize()
        return ahead


def timer_of(device: str, launches: int = 20) -> Timer:
    """What times a run on the device."""
    return on_cpu if device == "cpu" else OnGpu(launches)


def compare(ours: Run, baseline: Run, rounds: int, timer: Timer) -> Times:
    """Two runs that take turns."""
    return between(take_turns((ours, baseline), rounds, timer), 0, 1)


def take_turns(runs: Sequence[Run], rounds: int, timer: Timer) -> list[list[float]]:
    """Milliseconds of all, round by round, after some rounds that do not count.

    They take turns, so that what disturbs the machine for a while disturbs all alike: ratios vary less than times. The
    order changes from round to round, since a run may leave the caches and the memory in a worse state than another.
    """
    order, spans = Random(0), []
    for index in range(-max(WARM_UP, rounds // 5), rounds):
        span = dict.fromkeys(range(len(runs)), 0.0)
        for place in order.sample(range(len(runs)), len(runs)):
            span[place] = timer(runs[place], index)
        spans.append(list(span.values()))
    return spans[-rounds:]


def between(spans: list[list[float]], ours: int, baseline: int) -> Times:
    """Median milliseconds of two of them, and the median of the rounds' speedups: the baseline's time ÷ ours."""
    first, second = (statistics.median(span[k] for span in spans) for k in (ours, baseline))
    return first, second, statistics.median(span[baseline] / span[ours] for span in spans)


def pictures(batch: int, size: int) -> list[np.ndarray]:
    """Uint8 [B, size, size, 3], enough different batches to outlast the caches, three at least."""
    rng = np.random.default_rng(0)
    count = max(3, CACHES // (batch * size * size * 9) + 1)
    return [rng.integers(0, 256, (batch, size, size, 3), np.uint8) for _ in range(min(count, 8))]


def photographs(make: Callable[[Path], Path], place: str | Path, batch: int) -> ImageFolder:
    """Those of `make`, each so often that they make whole batches: the last would be filled up with one of them.

    Args:
        make: such as `dali_ops.assets.photos.make_photo_folder`.
        place: in which the folder of photographs is made.
        batch: images.
    """
    folder = ImageFolder.scan(make(Path(place) / "photos"))
    return replace(folder, files=[*folder.files] * batch, labels=[*folder.labels] * batch)


def endless(loader: Iterable[Any]) -> Iterator[Any]:
    """Epoch after epoch."""
    while True:
        yield from loader


def copy(xp: Any, moved: int, count: int) -> Run:
    """Reads and writes `moved` bytes together, of `count` sources in turn, to new memory, as what it is compared with.

    A single destination would stay in a cache.
    """
    block = xp.asarray(np.random.default_rng(0).integers(0, 256, min(moved // 2, 1 << 24), np.uint8))
    return partial(each, [xp.resize(block, moved // 2) for _ in range(count)], xp.copy)


def array_module_of(device: str) -> Any:
    """NumPy or CuPy."""
    return import_module({"cpu": "numpy", "gpu": "cupy"}[device])


def each(inputs: Sequence[Any], function: Callable[..., Any], *rest: Any) -> Any:
    """`function` of the inputs whose turn it is; the round comes last."""
    *arguments, index = rest
    return function(inputs[index % len(inputs)], *arguments)


def drawn(method: dalimix.Method, batch: int, seed: int, xp: Any) -> dalimix.Draws:
    """The random numbers of a batch, as arrays of `xp`."""
    return dalimix.draw(method, batch, seed).mapped(xp.asarray)


def left_by(only: str) -> list[str]:
    return [f"all that does not begin with {only!r} (--only)"] if only else []


def finish(path: Path | None, device: str, rows: Rows, left_out: Sequence[str]) -> None:
    """Say what was left out, and write all to `path`, if there is one."""
    for what in left_out:
        print(f"left out: {what}")
    if path:
        write_results(path, environment_of(device), rows, left_out)


def shown(rows: Rows) -> Rows:
    """`rows`, printed: one table for neighbours with the same columns."""
    for _, group in groupby(rows, key=list):
        print_table(list(group))
        print(flush=True)
    return rows


def row(what: str, batch: int, baseline: str, times: Times, unit: str, rate: dict[str, float]) -> dict[str, Any]:
    ms, baseline_ms, speedup = times
    scale = {"ms": 1, "µs": 1000}[unit]
    ours = {"what": what, "batch": batch, f"median {unit}": ms * scale, **rate}
    return {**ours, "baseline": baseline, f"baseline median {unit}": baseline_ms * scale, "speedup": speedup}


def image_rows(names: Iterable[str], pairs: list[tuple[str, str]], batch: int, spans: list[list[float]]) -> Rows:
    """A row with images/s for every pair (name, baseline) of names; `spans` are those of `take_turns`, of a batch."""
    rows, places = [], {name: place for place, name in enumerate(names)}
    for name, baseline in pairs:
        times = between(spans, places[name], places[baseline])
        rows.append(row(name, batch, baseline, times, "ms", {"images/s": batch / times[0] * 1e3}))
    return rows


def print_table(rows: list[dict[str, Any]]) -> None:
    texts = [[f"{value:.2f}" if isinstance(value, float) else str(value) for value in row.values()] for row in rows]
    table = [list(rows[0]), *texts]
    widths = [max(len(line[k]) for line in table) for k in range(len(table[0]))]
    for line in table:
        print("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)))


def whole_epoch(pipeline: Any, _index: int = 0) -> None:
    """All batches that are left, and nothing prepared for the next time."""
    with suppress(StopIteration):
        while True:
            pipeline.run()
    pipeline.reset()


def settled(device: str, run: Run, index: int) -> float:
    """Milliseconds by the host's clock, until the GPU has done all that was queued, too."""
    wait = torch.cuda.synchronize if device == "gpu" else bool
    return on_cpu(lambda index: (run(index), wait()), index)


def one_step(device: str, steps: int, run: Run, index: int) -> float:
    """Milliseconds of one step, after those for which a pipeline had batches ready."""

    def several(index: int, count: int) -> None:
        for _ in range(count):
            run(index)

    settled(device, partial(several, count=READY), index)
    return settled(device, partial(several, count=steps), index) / steps
