"""What mixing costs on a CPU, in one run: against DALI, memory, a pipeline without it, authors and peers; how it grows.

    python -m benchmarks.cpu.bench_cpu [--only compose …] [--quick] [--data FOLDER] [--json FILE]

* pipeline: batches of uint8 HWC images in a pipeline of DALI's with one thread, mixed, mirrored and normalised to CHW,
  against `crop_mirror_normalize` alone. The time that the source takes is measured, too, and taken off both.
* compose: the same pixels alone, against a memcpy of as many bytes as are read and written, each once: half of them are
  read and half of them written. Then in two threads against one.
* files: the whole pipeline with two threads, from JPEG files of some 110 kB, as `dalimix bench` times it: with each
  method that pastes and with Mixup, against none; also while a Python thread keeps the GIL busy.
* plans: TokenMix's masks, SMMix's regions and the cells of Attentive CutMix, against the ways of methods/.
* peers: from images to normalised ones with soft labels, against those of peers/ that can be imported.
* growth: with batches from 1 to 1,024 images, sizes from 32 to 512 pixels, 10 to 21,841 classes; one thread, and two.

All take turns, and the last table says how far what was measured gets to the goals of RESULTS.md. It takes some minutes
on two cores that have nothing else to do; --quick only shows that all of it runs.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain, product
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.cpu import growth, mixing
from benchmarks.harness import (
    Rows,
    beginning,
    compare,
    finish,
    left_by,
    on_cpu,
    parser,
    pictures,
    print_table,
    row,
    run_script,
    shown,
)
from benchmarks.methods import cut, masks, regions
from benchmarks.page.goals import on_cpu_goals
from benchmarks.peers import cases
from benchmarks.tensors import one_thread
from dali_ops.assets.photos import make_imagenet_like_folder
from dali_ops.bench.compare import Timing, entries, measure, some_images
from dali_ops.bench.random_heatmaps import random_store
from dali_ops.bench.throughput import Setting
from dali_ops.sources import ImageFolder
from dalimix import METHODS, CutMix, Mixup

PEERS = ("timm", "torchvision", "kornia", "compiled")
PERS = ("batch", "sample")
QUIET = 0.5  # processes that others keep running, at most


@dataclass(frozen=True)
class Effort:
    """How much is measured."""

    quick: bool = False
    batch: int = 64
    size: int = 224
    samples: int = 256  # that are planned at a time
    rounds: int = 11
    few_rounds: int = 5  # of what takes longer
    turns: int = 9  # of a pipeline that reads files
    runs: int = 8  # of a pipeline that is fed from memory, in a turn
    batches: int = 8  # in each of them
    data: Path | None = None
    left_out: list[str] = field(default_factory=list)


QUICK = Effort(True, batch=4, size=32, samples=8, rounds=1, few_rounds=1, runs=1, turns=1, batches=1)


def main() -> None:
    options = arguments()
    chosen = beginning(options.only, PARTS)
    effort = replace(QUICK if options.quick else Effort(), data=options.data, left_out=missing(options))
    rows: Rows = []
    with one_thread():  # as ours has
        for name in chosen:
            rows += shown(PARTS[name](effort))
    print_table(on_cpu_goals(rows))
    finish(options.json, "cpu", rows, list(dict.fromkeys(effort.left_out)))


def arguments() -> argparse.Namespace:
    options = parser(__doc__, rounds=None, device=False)
    options.add_argument("--only", default="", help="parts whose name begins with this")
    options.add_argument("--quick", action="store_true", help="small batches, once")
    options.add_argument("--data", type=Path, help="folder with a sub-folder for each class")
    return options.parse_args()


def missing(options: argparse.Namespace) -> list[str]:
    """What is left out, or what the figures lack, before anything is measured."""
    load, found = os.getloadavg()[0], ["the same on a GPU (no GPU used)", *left_by(options.only)]
    found += ["all times that mean anything (--quick)"] * options.quick
    return found + [f"a machine with nothing else to do (its load was {load:.1f} before)"] * (load > QUIET)


def pipelines(effort: Effort) -> Rows:
    return mixing.piped_rows(effort.batch, effort.size, effort.runs, effort.rounds)


def composing(effort: Effort) -> Rows:
    told = effort.batch, effort.size, effort.rounds
    return mixing.memcpy_rows(*told) + mixing.thread_rows(*told)


def files(effort: Effort) -> Rows:
    timing = Timing(effort.turns, effort.batches, busy_gil=True)
    names = ["token_mix"] if effort.quick else [name for name in METHODS if name != "random_choice"]
    with TemporaryDirectory() as place:
        folder = ImageFolder.scan(effort.data or make_imagenet_like_folder(Path(place) / "photos"))
        images = some_images(folder, effort.batch)
        store = random_store(Path(place) / "store", images)
        found = entries({name: METHODS[name]() for name in names}, store, teacher=False, device="cpu")
        setting = Setting(images, "cpu", effort.batch, 2, effort.size)
        return [dict(measured) for measured in measure([setting], found, timing)]


def plans(effort: Effort) -> Rows:
    """Whatever the size of the images, which is that of the methods."""
    rows = masks.bench_masks(np, on_cpu, effort.samples, effort.rounds)
    for what, batch, other, ours, its in chain(of_smmix(effort), of_attentive_cutmix(effort)):
        rows.append(row(what, batch, other, compare(ours, its, effort.rounds, on_cpu), "ms", {}))
    return rows


def of_smmix(effort: Effort) -> Iterator[regions.Job]:
    for what, *others in regions.plan_jobs(np, effort.samples):
        yield f"regions: {what}", *others


def of_attentive_cutmix(effort: Effort) -> Iterator[regions.Job]:
    for what, _, *others in cut.plan_jobs(np, pictures(effort.batch, cut.SIZE)):
        yield f"cells: {what}", effort.batch, *others


def peers(effort: Effort) -> Rows:
    setting = cases.Setting("cpu", effort.batch, effort.size, effort.few_rounds, on_cpu)
    chosen, rows = list(PEERS[:1] if effort.quick else PEERS), []
    for kind, dtype, per in product((CutMix, Mixup), mixing.DTYPES, PERS):
        method, name = kind(per=per, pairing=cases.PAIRINGS[per]), cases.name_of(kind, per, dtype)
        rows += cases.bench_case(name, method, dtype, setting, chosen, effort.left_out)
    return rows


def growing(effort: Effort) -> Rows:
    return growth.growth_rows(effort.quick, effort.rounds)


PARTS: dict[str, Callable[[Effort], Rows]] = {
    "pipeline": pipelines,
    "compose": composing,
    "files": files,
    "plans": plans,
    "peers": peers,
    "growth": growing,
}

if __name__ == "__main__":
    run_script(main)
