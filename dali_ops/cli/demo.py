"""The demo: real photographs through a real pipeline, for every method, with a contact sheet and the speed."""

from __future__ import annotations

import os
from pathlib import Path

from rich.console import Console
from rich.table import Table

from dali_ops.assets.photos import make_photo_folder
from dali_ops.assets.teacher import teacher_for
from dali_ops.bench.throughput import Setting, TimedPipeline
from dali_ops.cli.output import tell
from dali_ops.cli.progress import turns_progress
from dali_ops.device import device_name
from dali_ops.loader.heatmap_sources import ModelSource
from dali_ops.sheets.mixing_sheet import draw_sheet
from dali_ops.sheets.preview import preview
from dali_ops.sources import ImageFolder
from dalimix import METHODS, Method

ROWS_PER_METHOD = 2
BATCH_SIZE = 16
BATCHES = 12


def demo(out: Path, device: str, console: Console) -> None:
    """Make the photographs, run every method, write ``out/sheet.png`` and print images per second.

    Args:
        out: folder for the photographs and the sheet; made if it is missing.
        device: ``"cpu"`` or ``"gpu"``.
        console: where to report.
    """
    tell(console, f"device: {device_name(device)}")
    folder = ImageFolder.scan(make_photo_folder(out / "photos"))
    tell(console, f"photographs: {len(folder.files)} in {len(folder.classes)} classes, in {out / 'photos'}")
    methods = {name: make() for name, make in METHODS.items()}
    _report_speed(folder, {"no mixing": None, **methods}, device, console)
    rows = preview(folder, methods.values(), device, count=ROWS_PER_METHOD, size=224, seed=3)
    draw_sheet(rows, out / "sheet.png", "dalimix", f"batch mixing inside a DALI pipeline, on {device_name(device)}")
    tell(console, f"contact sheet: {out / 'sheet.png'}")


def _report_speed(folder: ImageFolder, methods: dict[str, Method | None], device: str, console: Console) -> None:
    setting = Setting(folder, device, BATCH_SIZE, os.cpu_count() or 1)
    threads = setting.num_threads
    tell(console, f"roughly, from JPEG files to finished batches of {BATCH_SIZE}, 224 × 224, {threads} threads:")
    table = Table("method", "images/s")
    with turns_progress(len(methods), console) as advance:
        for name, method in methods.items():
            span = TimedPipeline(setting, method, ModelSource(teacher_for(method, device))).turn(BATCHES)
            and_teacher = " and its teacher" if method and method.reads_heatmaps else ""
            table.add_row(name + and_teacher, f"{span.images_per_second:,.0f}")
            advance(name)
    tell(console, table)
