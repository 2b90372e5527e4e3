"""Bars of images per second, for every setting of `dalimix bench`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dali_ops.bench.compare import BASELINE, SPEEDUP, Row, by_setting
from dali_ops.sheets.page import GIVER, INK, QUIET, RECEIVER, as_path
from dalimix.support.paths import errors_name

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH, BAR, HEAD, FOOT = 10.0, 0.34, 0.95, 0.8  # inches
SPEEDS, SPEEDUPS = 1.11, 1.14  # where the columns of numbers end and begin, in widths of the panel
LEGEND = "The line across a bar is no mixing in the same rounds. ÷ no mixing: median and range of the rounds."


def draw_bars(rows: Sequence[Row], out: Path, device: str) -> None:
    """Draw images per second of all rows as a PNG, one panel for each batch size, number of threads and load.

    Args:
        rows: as `dali_ops.bench.compare.measure` makes them.
        out: the PNG; its folder is made, too.
        device: the name of the processor or GPU, for the titles.
    """
    out = as_path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with errors_name(out):
        bars(rows, device).savefig(out, dpi=120)


def bars(rows: Sequence[Row], device: str) -> Figure:
    """The figure of `draw_bars`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = by_setting(rows)
    heights = [len(panel) * BAR + HEAD for panel in panels.values()]
    figure = Figure(figsize=(WIDTH, sum(heights) + FOOT), facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    figure.get_layout_engine().set(w_pad=0.15, h_pad=0.15)
    all_axes = figure.subplots(len(panels), height_ratios=heights, squeeze=False)[:, 0]
    farthest = 1.02 * max(max(row["images/s"], row["baseline images/s"]) for row in rows)
    for axes, (setting, panel) in zip(all_axes, panels.items(), strict=True):
        _draw_panel(axes, panel, farthest)
        axes.set_title(f"{device}, {setting}", loc="left", x=0, pad=22, fontsize=11, color=INK)
    all_axes[-1].set_xlabel(f"images per second, from JPEG files to finished batches\n{LEGEND}", color=INK)
    return figure


def _draw_panel(axes: Any, panel: Sequence[Row], farthest: float) -> None:
    places, speeds = range(len(panel)), [row["images/s"] for row in panel]
    colors = [RECEIVER if row["what"] == BASELINE else GIVER for row in panel]
    axes.barh(places, speeds, height=0.72, color=colors)
    baseline = [row["baseline images/s"] for row in panel]
    axes.vlines(baseline, [n - 0.46 for n in places], [n + 0.46 for n in places], color=INK, linewidth=1.5)
    axes.set_yticks(places, [row["what"] for row in panel])
    axes.set(xlim=(0, farthest), ylim=(len(panel) - 0.5, -0.5))
    axes.tick_params(colors=INK, length=0)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.spines["left"].set_color(QUIET)
    _write_numbers(axes, -0.9, "images/s", "÷ no mixing")
    for place, row in zip(places, panel, strict=True):
        speedup = f"{row[SPEEDUP]:.2f}  ({row['lowest']:.2f} … {row['highest']:.2f})"
        _write_numbers(axes, place, f"{row['images/s']:,.0f}", speedup)


def _write_numbers(axes: Any, y: float, speed: str, speedup: str) -> None:
    """Beside the panel, where neither bars nor lines are."""
    style = {"transform": axes.get_yaxis_transform(), "va": "center", "fontsize": 9, "color": INK}
    axes.text(SPEEDS, y, speed, ha="right", **style)
    axes.text(SPEEDUPS, y, speedup, ha="left", **style)
