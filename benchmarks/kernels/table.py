"""What the compiler makes of every kernel, as pipelines launch it. Needs NVRTC and CuPy, but no GPU.

    python -m benchmarks.kernels.table [--arch 90 …] [--json FILE]

The first table: registers of a thread; bytes of the stack, spilled (stored, loaded), and of shared memory; threads of
a block; how many of the threads that a multiprocessor can hold it holds (occupancy, from these numbers alone); and the
instructions that load from global memory (ld) and store to it (st), by how many bytes each moves. They are counted in
the PTX, where each can be followed back to an argument of the kernel.

The second: those of `compose` to the images, which are most of what is moved. Images are read 16 bytes at a time,
except where a box is shifted by no multiple of 16 pixels: that way is read pixel by pixel.

The third: what that comes to. `compose` runs on the CPU, and every access to the images is counted, with plans of
each method at 224 × 224, and of one whose tokens are 14 pixels wide. Needs GCC.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter

import numpy as np

import dalimix
from benchmarks.harness import Rows, finish, parser, shown
from benchmarks.kernels.compiled import Compiled, Symbols, compiled, missing
from benchmarks.kernels.occupancy import MULTIPROCESSORS, occupancy
from benchmarks.pipeline.callback_cases import CASES, SIZE, Case
from benchmarks.pipeline.launches import launches_of
from benchmarks.tensors import MEAN, STD
from dalimix import Erase, Mixup, SMMix
from dalimix.heatmap_crop import heatmap_crop

# What runs kernels on the CPU is test equipment first, and stays with the tests.
from tests.support.host import counted

BATCH, EXECUTED = 256, 8  # images, of what is launched and of what is executed
EXECUTED_CASES = CASES | {"SMMix, 16 × 16 tokens": Case(SMMix(grid=16), 16)}
WIDTHS = 16, 8, 4, 2, 1
OF_A_GPU = "bandwidth and occupancy achieved: they need a GPU"
SASS = "SASS: there loads of less than 16 bytes may be more, as ptxas copies code when it unrolls loops"


def main() -> None:
    options = arguments()
    if why := missing():
        sys.exit(why)
    kernels = launched()
    rows = shown([kernel_row(*kernel, architecture) for kernel in kernels for architecture in options.arch])
    hot = [symbols for name, symbols, _ in kernels if name == "compose"]
    rows += shown(
        [row for symbols in hot for architecture in options.arch for row in image_rows(symbols, architecture)]
    )
    why = counted.missing()
    rows += [] if why else shown([executed_row(name, case) for name, case in EXECUTED_CASES.items()])
    finish(options.json, "cpu", rows, [OF_A_GPU, SASS, *([why] if why else [])])


def arguments() -> argparse.Namespace:
    options = parser(__doc__, rounds=None, device=False)
    known = sorted(MULTIPROCESSORS)
    options.add_argument("--arch", type=int, nargs="+", choices=known, default=[80, 90, 100], help=f"of {known}")
    return options.parse_args()


def launched() -> list[tuple[str, Symbols, int]]:
    """Every kernel that pipelines launch, once for each set of symbols, with the threads of its blocks."""
    launches = launches_of(crop) + launches_of(boxes)
    for case in CASES.values():
        arrays = case.inputs(BATCH, np, zeros=True)
        launches += launches_of(lambda case=case, arrays=arrays: case.mixer(*arrays))
    return sorted({(launch.kernel, launch.symbols, launch.threads) for launch in launches})


def crop() -> object:
    """That of stored heatmaps, 14 × 14 bytes each."""
    return heatmap_crop(np.zeros((BATCH, 14, 14), np.uint8), np.arange(BATCH, dtype=np.int32), np.ones((BATCH, 4)), 14)


def boxes() -> object:
    """Those of random erasing."""
    erase = Erase()
    return dalimix.plan_erase(erase, dalimix.draw(Mixup(), BATCH, 0, erase), SIZE)


def kernel_row(name: str, symbols: Symbols, threads: int, architecture: int) -> dict[str, object]:
    made = compiled(name, architecture, symbols)
    share = occupancy(architecture, made.registers, made.shared, threads)
    row = {"kernel": name, "symbols": text(symbols), "sm": architecture, "registers": made.registers}
    row |= {"stack": made.stack, "spill stores": made.spills[0], "spill loads": made.spills[1], "shared": made.shared}
    return {**row, "threads": threads, "occupancy": share, **by_width(made)}


def image_rows(symbols: Symbols, architecture: int) -> Rows:
    made = compiled("compose", architecture, symbols)
    row = {"kernel": "compose", "symbols": text(symbols), "sm": architecture}
    return [{**row, "argument": argument, **by_width(made, argument)} for argument in ("images", "output")]


def executed_row(name: str, case: Case) -> dict[str, object]:
    """Bytes of the images read, and what share of those and of the bytes written is moved 16 at a time."""
    images, _, *rest = case.inputs(EXECUTED, np)
    mirror = rest[-1] if case.mirrored else None
    heatmaps = None if case.heatmaps is None else rest[-1 - case.mirrored]
    draws = dalimix.draw(case.method, EXECUTED, 0)
    plan = dalimix.plan(case.method, draws, (SIZE, SIZE), heatmaps, mirror)
    normalised = {"mean": MEAN, "std": STD, "dtype": "float16", "output_layout": "CHW"}
    loads, stores = counted.accesses(images, plan, mirror=mirror, **normalised)
    bytes_read = sum(width * count for width, count in loads.items())
    row = {"what": name, "batch": EXECUTED, "bytes read ÷ image bytes": bytes_read / images.nbytes}
    return {**row, "16-byte reads": share_of_16(loads), "16-byte writes": share_of_16(stores)}


def share_of_16(found: dict[int, int]) -> float:
    return 16 * found.get(16, 0) / sum(width * count for width, count in found.items())


def by_width(made: Compiled, argument: str | None = None) -> dict[str, int]:
    """How many instructions move so many bytes each; of one argument or all."""
    total: Counter[str] = Counter()
    for (of, kind, width), count in made.accesses().items():
        total[f"{kind}{width}"] += count * (argument in (None, of))
    return {f"{kind}{width}": total[f"{kind}{width}"] for kind in ("ld", "st") for width in WIDTHS}


def text(symbols: Symbols) -> str:
    return " ".join(f"{symbol}={value}" for symbol, value in symbols)


if __name__ == "__main__":
    main()
