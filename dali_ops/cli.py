"""The command line: ``dalimix demo``, ``dalimix preview``, ``dalimix bench`` and ``dalimix heatmaps``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from dali_ops.cli_arguments import positive
from dali_ops.cli_bench import add_bench
from dali_ops.cli_heatmaps import add_heatmaps
from dali_ops.device import device_name, usable_device
from dalimix import METHODS, __version__

INTERRUPTED = 130  # as shells say it of a program that Ctrl-C has ended


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except ImportError as error:
        remedy = "" if "pip install" in str(error) else " (the command line needs: pip install 'dalimix[demo]')"
        sys.stderr.write(f"dalimix: {error}{remedy}\n")
        return 1
    except (ValueError, TypeError, OSError) as error:
        sys.stderr.write(f"dalimix: {error}\n")
        return 1
    except KeyboardInterrupt as interrupt:
        sys.stderr.write(f"dalimix: {str(interrupt) or 'stopped'}\n")
        return INTERRUPTED
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dalimix", description="Batch mixing inside NVIDIA DALI pipelines.")
    parser.add_argument("--version", action="version", version=f"dalimix {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--device", choices=["cpu", "gpu"], help="default: the GPU if there is one")

    demo = commands.add_parser("demo", parents=[shared], help="mix photographs and draw a contact sheet")
    demo.add_argument("--out", type=Path, default=Path("demo"), help="folder for the results (default: %(default)s)")
    demo.set_defaults(run=_demo)

    preview = commands.add_parser("preview", parents=[shared], help="draw a contact sheet of your own images")
    preview.add_argument("root", type=Path, help="folder with one sub-folder of images per class")
    preview.add_argument("--method", nargs="+", choices=METHODS, default=["cutmix"], help="default: cutmix")
    preview.add_argument("--out", type=Path, default=Path("sheet.png"), help="the PNG (default: %(default)s)")
    preview.add_argument("--count", type=positive, default=6, help="rows per method (default: %(default)s)")
    preview.add_argument("--size", type=positive, default=224, help="side of the images, pixels (default: %(default)s)")
    preview.add_argument("--seed", type=positive, default=1, help="of crops and mixes (default: %(default)s)")
    preview.set_defaults(run=_preview)
    add_bench(commands, shared)
    add_heatmaps(commands, shared)
    return parser


def _demo(options: argparse.Namespace) -> None:
    from rich.console import Console

    from dali_ops.demo import demo

    demo(options.out, usable_device(options.device), Console())


def _preview(options: argparse.Namespace) -> None:
    from dali_ops.preview import preview
    from dali_ops.sheet import draw_sheet
    from dali_ops.sources import ImageFolder

    device, folder = usable_device(options.device), ImageFolder.scan(options.root)
    methods = [METHODS[name]() for name in options.method]
    rows = preview(folder, methods, device, count=options.count, size=options.size, seed=options.seed)
    draw_sheet(rows, options.out, "dalimix preview", f"{options.root}, on {device_name(device)}")
    sys.stdout.write(f"{options.out}\n")
