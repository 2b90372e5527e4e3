"""The command line of the benchmark: ``dalimix bench``."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from dali_ops.cli import arguments
from dali_ops.cli.output import console, tell
from dali_ops.device import default_threads, usable_device
from dalimix import METHODS
from dalimix.support.packages import need

if TYPE_CHECKING:
    from rich.table import Table

    from dali_ops.bench.compare import Row
    from dali_ops.sources import ImageFolder
    from dalimix.stores import HeatmapStore

READING = (
    "÷ no mixing: median of the rounds, each against no mixing measured right beside it (1: costs nothing), and their\n"
    "range. The first row is no mixing against itself: how far it is from 1 tells how much the machine disturbs.\n"
    "images/s of different rows are of different times; per thread: of each of --threads."
)
BATCH_SIZE, BATCHES = {"cpu": 32, "gpu": 256}, {"cpu": 10, "gpu": 50}  # two minutes on two idle cores


def add_bench(commands: Any, device: argparse.ArgumentParser) -> None:
    """Add ``bench`` to the sub-commands; `device` has the option for it."""
    bench = commands.add_parser("bench", parents=[device], help="measure images per second with and without mixing")
    bench.description = (
        "Time the training pipeline from JPEG files to finished batches, without mixing and with every method, which "
        "take turns with it. Heatmaps are random ones of a store if there are no others: what they show costs nothing."
    )
    root = "folder with one sub-folder of images per class; default: photographs of ImageNet's usual size and weight"
    bench.add_argument("root", type=arguments.place, nargs="?", metavar="ROOT", help=root)
    arguments.add_methods(bench, list(METHODS), "all")
    several: dict[str, Any] = {"action": arguments.Several, "metavar": "N"}
    sizes = "one or several; default: 32, on a GPU 256"
    bench.add_argument("--batch-size", **several, type=arguments.batch_size, help=sizes)
    decoding = "that decode, one number or several; default: as many as cores, 8 at most"
    bench.add_argument("--threads", **several, type=arguments.threads, help=decoding)
    arguments.add_option(bench, "--size", arguments.pixels, 224, "side of the images, pixels")
    stored = "of ROOT's images, instead of random ones"
    bench.add_argument("--heatmaps", type=arguments.place, metavar="STORE", help=stored)
    bench.add_argument("--teacher", action="store_true", help="measure with a model in the pipeline, too")
    bench.add_argument("--busy-gil", action="store_true", help="and while a Python thread keeps the GIL busy")
    arguments.add_skip_corrupt(bench)
    arguments.add_option(bench, "--rounds", arguments.positive, 5, "how often each method and no mixing take turns")
    batches = "how many are timed in a turn; default: 10, on a GPU 50"
    bench.add_argument("--batches", type=arguments.positive, metavar="N", help=batches)
    arguments.add_option(bench, "--out", arguments.place, Path("bench"), "folder for bench.json and bench.png")
    bench.set_defaults(run=_bench)


def _bench(options: argparse.Namespace) -> None:
    need("bench", "nvidia.dali", "matplotlib", "PIL", "rich")
    from dali_ops.bench.environment import environment_of, hardware, write_results
    from dali_ops.bench.plot import draw_bars
    from dali_ops.bench.random_heatmaps import random_store
    from dalimix.stores import HeatmapStore

    _complete(options)
    given = options.heatmaps and HeatmapStore.open(options.heatmaps)
    images = _images(options, given)
    with TemporaryDirectory() as place:
        store = given or random_store(Path(place) / "store", images)
        rows = _measured(options, images, store)
    facts = {"images": _described(images, options.root), "heatmaps": store.model}
    facts |= {name: vars(options)[name] for name in ("size", "rounds", "batches")}
    found, left_out = environment_of(options.device) | facts, _left_out(options)
    write_results(options.out / "bench.json", found, rows, left_out)
    _tell(options.out, rows, found, left_out)
    draw_bars(rows, options.out / "bench.png", hardware(options.device))


def _complete(options: argparse.Namespace) -> None:
    """Fill in the defaults that depend on the device."""
    from dali_ops.stores import check_outside

    arguments.check_folder("--out", options.out)  # better now than after the measurement
    if options.root:
        check_outside(options.out, options.root, "--out")
    if options.heatmaps and not options.root:
        raise ValueError(f"--heatmaps {options.heatmaps} needs ROOT: a store has heatmaps of certain images")
    options.device = usable_device(options.device)
    options.batch_size = options.batch_size or [BATCH_SIZE[options.device]]
    options.batches = options.batches or BATCHES[options.device]
    options.threads = options.threads or [default_threads()]


def _images(options: argparse.Namespace, store: HeatmapStore | None) -> ImageFolder:
    """Those to measure with, all of them with maps in the store, if one was given."""
    from dali_ops.assets.photos import make_imagenet_like_folder
    from dali_ops.bench.compare import some_images
    from dali_ops.loader.heatmap_sources import places, with_maps
    from dali_ops.sources import ImageFolder

    root = options.root or make_imagenet_like_folder(options.out / "photos")
    folder = ImageFolder.scan(root)
    if options.skip_corrupt and store is not None:
        folder = with_maps(folder, store)
    images = some_images(folder, max(options.batch_size), options.skip_corrupt, options.device)
    if store is not None:
        places(images, store)  # refuses a store of other images
    return images


def _measured(options: argparse.Namespace, images: ImageFolder, store: HeatmapStore) -> list[Row]:
    from dali_ops.bench.compare import Timing, entries, measure
    from dali_ops.bench.throughput import Setting
    from dali_ops.cli.progress import turns_progress

    methods = {name: METHODS[name]() for name in options.method}
    found = entries(methods, store, teacher=options.teacher, device=options.device)
    sizes = product(options.batch_size, options.threads)
    settings = [Setting(images, options.device, batch, threads, options.size) for batch, threads in sizes]
    timing = Timing(options.rounds, options.batches, options.busy_gil)
    with turns_progress(timing.turns(len(settings) * len(found)), console()) as advance:
        return list(measure(settings, found, replace(timing, advance=advance)))


def _described(images: ImageFolder, root: Path | None) -> str:
    different = set(images.files)
    weight = sum(map(os.path.getsize, different)) / len(different) / 1000
    where = f"of {root}" if root else "made of the demo's photographs, 500 × 375"
    return f"{len(different):,} {where}, {weight:,.0f} kB on average, read from memory"


def _left_out(options: argparse.Namespace) -> list[str]:
    others = [name for name in METHODS if name not in options.method]
    reading = any(METHODS[name]().reads_heatmaps for name in options.method)
    said = {
        "mixing on a GPU (no GPU used)": options.device == "cpu",
        f"{', '.join(others)} (--method)": bool(others),
        "heatmaps of a teacher in the pipeline (--teacher)": reading and not options.teacher,
        "a busy GIL (--busy-gil)": not options.busy_gil,
    }
    return [what for what, missing in said.items() if missing]


def _tell(out: Path, rows: list[Row], found: dict[str, Any], left_out: list[str]) -> None:
    from dali_ops.bench.compare import by_setting

    on = console()
    tell(on, f"device: {found['device']}, {found['cores']} cores")
    tell(on, f"images: {found['images']}; heatmaps: {found['heatmaps']}")
    for setting, group in by_setting(rows).items():
        tell(on, _table(setting, group))
    tell(on, READING)
    for what in left_out:
        tell(on, f"left out: {what}")
    tell(on, f"{out / 'bench.json'}\n{out / 'bench.png'}")


def _table(setting: str, rows: list[Row]) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from dali_ops.bench.compare import SPEEDUP

    table = Table(title=setting, title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    table.add_column("method", no_wrap=True)
    for heading in ("images\n/s", "per\nthread", "÷ no\nmixing", "range", "CPU ms\n/image"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        speeds = f"{row['images/s']:,.0f}", f"{row['images/s per thread']:,.0f}"
        speedups = f"{row[SPEEDUP]:.2f}", f"{row['lowest']:.2f} … {row['highest']:.2f}"
        table.add_row(row["what"], *speeds, *speedups, f"{row['CPU ms/image']:.2f}")
    return table
