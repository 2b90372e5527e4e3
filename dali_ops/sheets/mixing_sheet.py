"""A contact sheet of mixed images: what receives, what gives, where they mix, the result, and its label in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dali_ops.sheets import page
from dali_ops.sheets.overlays import framed, heat_key, heat_overlay, mix_overlay
from dali_ops.sheets.rows import SheetRow
from dali_ops.sheets.text import wrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAMES, LABEL = 164, 210  # widths in pixels of the methods' names and of the label
LINE = 21  # pixels, of the label in words


def draw_sheet(rows: Sequence[SheetRow], out: Path, title: str, subtitle: str = "") -> None:
    """Write the rows as one PNG, below 2.5 MB for up to some twenty rows.

    It is 1400 pixels wide; where any row has a heatmap, a column shows them, and it is one picture wider.

    Args:
        rows: from top to bottom.
        out: the PNG file; its folder is made if need be.
        title: in large letters at the top.
        subtitle: a sentence or two below it.

    Raises:
        ValueError: there are no rows.
    """
    if isinstance(rows, str) or not isinstance(rows, Sequence) or not all(isinstance(row, SheetRow) for row in rows):
        raise TypeError(f"rows must be a list of SheetRow, got {type(rows).__name__}")
    out = page.as_path(out)
    if not isinstance(title, str) or not isinstance(subtitle, str):
        raise TypeError(f"title and subtitle must be strings, got {title!r} and {subtitle!r}")
    if not rows:
        raise ValueError("nothing to draw: no rows were given")
    columns = _columns(rows)
    strips: list[page.Strip] = [page.head(title, subtitle), (page.HEADING, partial(_draw_headings, columns))]
    for method, group in groupby(rows, key=lambda row: row.method):
        strips.append((page.RULE, partial(_begin_group, method)))
        strips += [(page.picture_height(row.mixed), partial(_draw_row, columns, row)) for row in group]
    page.draw_page(_label_x(columns) + LABEL, strips, out)


@dataclass(frozen=True)
class _Column:
    """A column of pictures.

    Attributes:
        name: its heading.
        show: the picture of a row, uint8 [h, w, 3]; None where its place stays empty.
        key: uint8 [11, w, 3], a swatch before the heading that explains a colour of the sheet.
    """

    name: str
    show: Callable[[SheetRow], np.ndarray | None]
    key: np.ndarray | None = None


def _columns(rows: Sequence[SheetRow]) -> list[_Column]:
    """The columns from left to right; that of the heatmaps only if there are any."""
    columns = [
        _Column("receives", lambda row: row.receiver, page.swatch(page.RECEIVER)),
        _Column("gives", _giver, page.swatch(page.GIVER)),
        _Column("what the teacher sees", _heat, heat_key()),
        _Column("where they mix", lambda row: mix_overlay(row.receiver, row.where)),
        _Column("result", lambda row: row.mixed),
    ]
    return [column for column in columns if column.show is not _heat or any(row.heatmap is not None for row in rows)]


def _giver(row: SheetRow) -> np.ndarray:
    return row.giver if row.source is None else framed(row.giver, row.source)


def _heat(row: SheetRow) -> np.ndarray | None:
    return None if row.heatmap is None else heat_overlay(row.giver, row.heatmap)


def _at(columns: Sequence[_Column]) -> list[tuple[int, _Column]]:
    """The columns, each with its place from the left."""
    return [(NAMES + n * (page.PICTURE + page.GAP), column) for n, column in enumerate(columns)]


def _label_x(columns: Sequence[_Column]) -> int:
    return NAMES + len(columns) * (page.PICTURE + page.GAP) + page.GAP


def _draw_headings(columns: Sequence[_Column], strip: Axes) -> None:
    for x, column in _at(columns):
        page.heading(strip, x, column.name, column.key)
    page.heading(strip, _label_x(columns), "soft label")


def _begin_group(method: str, strip: Axes) -> None:
    """A rule, and the method's name at the left of the pictures that follow."""
    page.rule(strip)
    page.text(strip, 0, page.RULE + page.GAP + 14, wrapped(method, 15), 15, 20, weight="bold")


def _draw_row(columns: Sequence[_Column], row: SheetRow, strip: Axes) -> None:
    middle = page.picture_height(row.mixed) / 2
    for x, column in _at(columns):
        image = column.show(row)
        if image is None:
            centre = x + page.PICTURE / 2
            page.text(strip, centre, middle, ["needs none"], 13, color=page.QUIET, ha="center", va="center")
        else:
            page.picture(strip, x, image)
    _draw_label(strip, _label_x(columns), middle, row)


def _draw_label(strip: Axes, x: float, middle: float, row: SheetRow) -> None:
    """The label in words, a class per line, and below it a bar of the shares, the larger one first as in the words."""
    first, *others = row.label
    lines = [line for part in (first, *(f"+ {other}" for other in others)) for line in wrapped(part, 22)]
    room = max(1, int(2 * middle - 18) // LINE)
    if len(lines) > room:
        lines = [*lines[: room - 1], "…"]
    top = middle - (len(lines) * LINE + 18) / 2
    page.text(strip, x, top + 15, lines, 15.5, LINE)
    y = top + len(lines) * LINE + 8
    page.box(strip, x, y, LABEL, 10, page.TRACK)
    for share, color in sorted(zip(row.shares, (page.RECEIVER, page.GIVER), strict=True), key=lambda item: -item[0]):
        width = LABEL * share / max(1.0, sum(row.shares))
        page.box(strip, x, y, width, 10, color)
        x += width
