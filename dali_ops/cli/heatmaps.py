"""The command line of stores of heatmaps: ``dalimix heatmaps build``, ``import-token-labels`` and ``show``."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dali_ops.cli import arguments
from dali_ops.cli.model import KINDS
from dali_ops.cli.output import console, say, say_sheet
from dali_ops.device import usable_device
from dalimix.stores.format import DTYPES, MAPS_AT_ONCE
from dalimix.support.packages import need

if TYPE_CHECKING:
    from dalimix.stores import HeatmapStore

NAMED = 3  # files, after a store is made, of those with something special


def add_heatmaps(commands: Any, device: argparse.ArgumentParser) -> None:
    """Add ``heatmaps`` to the sub-commands; `device` has the option for it."""
    heatmaps = commands.add_parser("heatmaps", help="make stores of heatmaps, and look at them")
    below = heatmaps.add_subparsers(required=True, metavar="COMMAND")
    _add_build(below.add_parser("build", parents=[device], help="run a model over an image folder, once"))
    _add_import(below.add_parser("import-token-labels", help="make a store of TokenLabeling's .pt maps"))
    _add_show(below.add_parser("show", help="draw some images with their stored heatmaps"))


def _add_build(build: argparse.ArgumentParser) -> None:
    build.description = "Make a store of the heatmaps of all images. When it was stopped, the same command goes on."
    arguments.add_root(build)
    _add_model(build.add_argument_group("model"))
    arguments.add_option(build, "--grid", arguments.cells, 14, "cells along each side")
    build.add_argument("--dtype", choices=list(DTYPES), default="uint8", help="default: uint8; float16 keeps signs")
    _add_out(build)
    build.add_argument("--batch-size", type=arguments.batch_size, default=64, help="default: %(default)s")
    build.add_argument("--threads", type=arguments.threads, help="that decode; default: as many as cores, 8 at most")
    arguments.add_skip_corrupt(build)
    build.set_defaults(run=_build)


def _add_model(model: argparse._ArgumentGroup) -> None:
    spec = "MODULE:FUNCTION, called without arguments, returns an nn.Module or a provider; or the name of a timm model"
    model.add_argument("--model", required=True, metavar="MODEL", help=spec)
    model.add_argument("--kind", choices=KINDS, help="of heatmap, for an nn.Module")
    model.add_argument("--layer", help="name of the module to watch, for an nn.Module")
    model.add_argument("--classifier", help="name of the classifier, for class-activation")
    model.add_argument("--labels", action="store_true", help="maps of the folder's classes, not of the likeliest")
    numbers: dict[str, Any] = {"type": arguments.finite, "action": arguments.Several, "metavar": "X"}
    default = "default: timm's, else the pixels 0 … 255 are not normalised"
    model.add_argument("--mean", **numbers, help=f"of pixels 0 … 255, one or one per channel; {default}")
    model.add_argument("--std", **numbers, help="as --mean")
    side = "side, pixels; default: the provider's or timm's, else 224"
    model.add_argument("--input-size", type=arguments.pixels, help=side)


def _add_import(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "The map of ROOT/CLASS/IMAGE.JPEG is DIR/CLASS/IMAGE.pt. ROOT's classes are numbered in their sorted order, "
        "which must be that of the class indices in the .pt files."
    )
    parser.add_argument("dir", type=arguments.place, metavar="DIR", help="folder with the .pt files")
    arguments.add_root(parser)
    _add_out(parser)
    parser.set_defaults(run=_import)


def _add_show(show: argparse.ArgumentParser) -> None:
    show.add_argument("store", type=arguments.place, metavar="STORE", help="a finished store")
    arguments.add_root(show)
    arguments.add_option(show, "--out", arguments.place, Path("heatmaps.png"), "the PNG")
    arguments.add_option(show, "--count", arguments.positive, 12, "images")
    arguments.add_option(show, "--seed", arguments.seed, 1, "which images")
    show.set_defaults(run=_show)


def _add_out(parser: argparse.ArgumentParser) -> None:
    store = "the store, a folder to be made outside of ROOT"
    parser.add_argument("--out", type=arguments.place, required=True, metavar="STORE", help=store)


def _build(options: argparse.Namespace) -> None:
    need("heatmaps build", "nvidia.dali", "torch", "rich")
    from dali_ops.cli.model import provider_from
    from dali_ops.sources import ImageFolder
    from dali_ops.stores import build_store, check_outside

    arguments.check_folder("--out", options.out.parent)
    check_outside(options.out, options.root)
    device, folder = usable_device(options.device), ImageFolder.scan(options.root)
    chosen = {name: vars(options)[name] for name in ("kind", "layer", "classifier", "mean", "std", "input_size")}
    model = provider_from(options.model, **chosen, labelled=options.labels, device=device)
    made = {"grid": options.grid, "model": model.text, "dtype": options.dtype, "labelled": options.labels}
    run = {"device": device, "size": model.size, "batch_size": options.batch_size, "num_threads": options.threads}
    run["skip_corrupt"] = options.skip_corrupt
    with _progress(len(folder.files), options.out) as advance:
        store = build_store(folder, model.provider, options.out, **made, **run, advance=advance)
    _tell(store)


def _import(options: argparse.Namespace) -> None:
    need("heatmaps import-token-labels", "nvidia.dali", "torch", "rich")
    from dali_ops.sources import ImageFolder
    from dali_ops.stores import check_outside
    from dalimix.stores.token_labels import import_token_labels

    arguments.check_folder("--out", options.out.parent)
    check_outside(options.out, options.root)
    folder = ImageFolder.scan(options.root)
    with _progress(len(folder.files), options.out) as advance:
        store = import_token_labels(options.dir, folder.names, folder.labels, options.out, advance)
    _tell(store)


def _show(options: argparse.Namespace) -> None:
    arguments.check_png("--out", options.out, options.root)
    need("heatmaps show", "nvidia.dali", "matplotlib", "PIL")
    from dali_ops.sheets.heatmap_sheet import draw_heatmaps
    from dali_ops.sources import ImageFolder
    from dalimix.stores import HeatmapStore

    store, folder = HeatmapStore.open(options.store), ImageFolder.scan(options.root)
    key = draw_heatmaps(store, folder, options.out, count=options.count, seed=options.seed)
    say_sheet(options.out, key)


@contextmanager
def _progress(total: int, out: Path) -> Iterator[Callable[[int], object]]:
    """A bar on the console; Ctrl-C is answered with how to go on."""
    from dali_ops.cli.progress import heatmap_progress

    try:
        with heatmap_progress(total, console()) as advance:
            yield advance
    except KeyboardInterrupt as interrupt:
        raise KeyboardInterrupt(f"stopped; the same command goes on with what is in {out}.part") from interrupt


def _tell(store: HeatmapStore) -> None:
    kept = f"{len(store):,} heatmaps of {store.grid} × {store.grid} in {store.dtype}, {store.nbytes:,} bytes"
    blank = _blank(store)
    without = "is nowhere above 0, and gets" if len(blank) == 1 else "are nowhere above 0, and get"
    said = f"; {len(blank):,} {without} no share of a label: {_first(blank)}" if blank else ""
    count = len(store.left_out)
    left_out = f"; {count:,} left out, which cannot be decoded: {_first(store.left_out)}" if count else ""
    more = " (see store.json)" if count > NAMED else ""
    say(f"{store.path}: {kept}{said}{left_out}{more}")


def _first(names: list[str]) -> str:
    return ", ".join([*names[:NAMED], *["…"] * (len(names) > NAMED)])


def _blank(store: HeatmapStore) -> list[str]:
    """The files whose maps are nowhere above 0: TokenMix gives their images no share of the label."""
    chunks = (store.maps[first : first + MAPS_AT_ONCE] for first in range(0, len(store), MAPS_AT_ONCE))
    blank = np.concatenate([chunk.max(axis=(1, 2)) <= 0 for chunk in chunks])
    return [store.files[k] for k in np.flatnonzero(blank)]
