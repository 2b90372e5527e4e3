"""The plots of the page of results: which kind of file has which, and how they are drawn."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from benchmarks.accuracy.table import CONTROL, MEASURES, PLAIN, Measure, difference
from dali_ops.bench.plot import draw_bars
from dali_ops.sheets.page import GIVER, INK, QUIET, TRACK

Row = dict[str, Any]
WIDTH, BAR, AROUND, LINES = 9.0, 0.3, 1.2, 4.5  # inches
USUAL = 256  # images in a batch, where there are several sizes
SPEEDUP = "speedup"
GROWING = {"images in a batch": "batch", "size of the images": "size", "classes": "classes"}  # and its column
COLORS = {"CutMix": GIVER, "Mixup": INK, "soft_labels": QUIET}
DTYPE = ", float16"
MODELS = ((-0.12, INK), (0.12, GIVER))  # where their marks are, in rows, and their colours


def draw(kind: str, found: dict[str, Any], out: Path) -> None:
    """The plot of a file, if its kind has one, as a PNG."""
    if kind in PLOTS:
        PLOTS[kind](found["rows"], out, found["environment"]["device"])


def draw_peers(rows: Sequence[Row], out: Path, device: str) -> None:
    """A bar for every peer in every case, from 1, on a logarithmic axis: twice the time is as far as half of it."""
    sizes = {row["batch"] for row in rows}
    batch = USUAL if USUAL in sizes else min(sizes)
    chosen = [row for row in rows if row["batch"] == batch and DTYPE in row["what"] and is_peer(row)]
    names = [f"{row['what'].replace(DTYPE, '')}: {row['baseline']}" for row in chosen]
    figure, axes = new_figure(len(chosen) * BAR + AROUND)
    axes.set_xscale("log")
    draw_ratios(axes, names, [row[SPEEDUP] for row in chosen], start=1)
    figure.suptitle(f"{device}, batches of {batch} images{DTYPE}")
    axes.set(xlabel="speedup: the baseline's time ÷ ours")
    figure.savefig(out, dpi=100)


def draw_training(rows: Sequence[Row], out: Path, device: str) -> None:
    """A bar for every way to get batches."""
    figure, axes = new_figure(len(rows) * BAR + AROUND)
    draw_ratios(axes, [f"{row['model']}: {row['what']}" for row in rows], [row[SPEEDUP] for row in rows], start=0)
    figure.suptitle(device)
    axes.set(xlabel="speedup: images/s of the training ÷ those without mixing")
    figure.savefig(out, dpi=100)


def draw_kernels(rows: Sequence[Row], out: Path, device: str) -> None:
    """Over the batch size, a line for every method and layout of `compose` from bytes to float16."""
    figure, axes = new_figure(LINES)
    chosen = [row for row in rows if row["kernel"] == "compose" and re.search("uint8 to .* float16", row["what"])]
    for what, group in groupby(sorted(chosen, key=what_of), key=what_of):
        points = sorted((row["batch"], row[SPEEDUP]) for row in group)
        axes.plot(*zip(*points, strict=True), marker="o", label=what)
    sizes = sorted({row["batch"] for row in chosen})
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, sizes)
    figure.suptitle(device)
    axes.set(ylim=(0, None), xlabel="images in a batch", ylabel="share of the bandwidth of a copy")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(out, dpi=100)


def draw_growth(rows: Sequence[Row], out: Path, device: str) -> None:
    """A panel for each thing that grows, with the time of a value that comes out: what costs as it should is level."""
    figure, panels = new_figure(LINES * len(GROWING), len(GROWING))
    for (grows, column), axes in zip(GROWING.items(), panels, strict=True):
        draw_lines(axes, [row for row in rows if row.get("grows") == grows], column)
        axes.set(xlabel=grows, ylabel="ns for each value that comes out")
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    figure.suptitle(device)
    figure.savefig(out, dpi=100)


def draw_accuracy(rows: Sequence[Row], out: Path, device: str) -> None:
    """A panel for each measure, with the differences to no mixing and their intervals.

    Without the control, which is so far away that all others would be one mark.
    """
    methods = [name for name in dict.fromkeys(row["method"] for row in rows) if name not in (PLAIN, CONTROL)]
    figure, panels = new_figure(len(methods) * 2 * BAR + AROUND, 1, len(MEASURES))
    for measure, axes in zip(MEASURES, panels, strict=True):
        draw_differences(axes, rows, methods, measure)
        shade(axes, measure)
    for axes in panels[1:]:
        axes.set_yticklabels([])
    figure.suptitle(f"difference to {PLAIN}: mean and 95 % interval; grey is better")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(MODELS))
    figure.savefig(out, dpi=100)


def draw_differences(axes: Any, rows: Sequence[Row], methods: Sequence[str], measure: Measure) -> None:
    """Of one measure: a mark for every method and model."""
    for (shift, color), model in zip(MODELS, dict.fromkeys(row["model"] for row in rows), strict=False):
        found = {at + shift: difference(rows, model, method, measure) for at, method in enumerate(methods)}
        there = {place: interval for place, interval in found.items() if interval is not None}
        means, halves = ([interval[k] for interval in there.values()] for k in (0, 1))
        axes.errorbar(means, [*there], xerr=halves, fmt="o", color=color, capsize=3, label=model)
    axes.set_yticks(range(len(methods)), methods)
    axes.set(ylim=(len(methods) - 0.5, -0.5), xlabel=measure.heading)
    axes.axvline(0, color="black", linewidth=1)


def shade(axes: Any, measure: Measure) -> None:
    """The side of 0 on which it is better."""
    low, high = axes.get_xlim()
    axes.axvspan(0, high if measure.better > 0 else low, color=TRACK, zorder=0)
    axes.set_xlim(low, high)


def draw_lines(axes: Any, rows: Sequence[Row], column: str) -> None:
    """Over a column, on logarithmic axes: a line for each method and number of threads."""
    for (what, count), group in groupby(sorted(rows, key=lined), key=lined):
        points = sorted((row[column], row["ns per value"]) for row in group)
        style = {"color": COLORS[what], "linestyle": "-" if count == 1 else "--", "marker": "o"}
        axes.plot(*zip(*points, strict=True), label=f"{what}, {count} thread{'s' * (count > 1)}", **style)
    axes.set_xscale("log")
    axes.set_yscale("log", base=2)
    ticks = sorted({row[column] for row in rows})
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.yaxis.set_major_formatter("{x:g}")
    axes.minorticks_off()


def lined(row: Row) -> tuple[str, int]:
    """What stands on one line."""
    return row["what"], row["threads"]


def is_peer(row: Row) -> bool:
    """Ours in another form is none."""
    return not row["baseline"].startswith("ours")


def what_of(row: Row) -> str:
    return str(row["what"])


def draw_ratios(axes: Any, names: Sequence[str], ratios: Sequence[float], start: int) -> None:
    """Bars from `start`, with a line at 1, where both are alike."""
    bars = axes.barh(range(len(names)), [ratio - start for ratio in ratios], left=start, height=0.7)
    axes.bar_label(bars, [f"{ratio:.2f}" for ratio in ratios], padding=4, bbox={"color": "white", "pad": 0.5})
    axes.set_yticks(range(len(names)), names)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.minorticks_off()
    axes.margins(x=0.15, y=0.01)
    axes.axvline(1, color="black", linewidth=1)
    axes.invert_yaxis()


def new_figure(height: float, panels: int = 1, columns: int = 1) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(panels, columns)


PLOTS: dict[str, Callable[[Sequence[Row], Path, str], None]] = {
    "accuracy": draw_accuracy,
    "cpu": draw_growth,
    "kernels": draw_kernels,
    "peers": draw_peers,
    "pipeline": draw_bars,
    "train": draw_training,
}
