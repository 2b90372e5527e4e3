"""A contact sheet of mixed images: what receives, what gives, where they mix, the result, and its label in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby
from pathlib import Path

import numpy as np

from dali_ops.sheets.overlays import framed, heat_colors, heat_key, heat_overlay, mix_overlay
from dali_ops.sheets.page import (
    GAP,
    GIVER,
    HAIRLINE,
    LABEL,
    MARGIN,
    PICTURE,
    QUIET,
    RECEIVER,
    TRACK,
    Column,
    Head,
    Layout,
    Page,
    as_path,
    picture_height,
    swatch,
)
from dali_ops.sheets.text import wrapped
from dalimix import MixPlan
from dalimix.cpu.pixels.paste import cells

BALANCED = 0.15  # a sample is telling if the second class has at least this share of the label
MENTIONED = 0.005  # smaller shares are left out of the words

GROUP_GAP = 30  # pixels between the rows of two methods
LINE = 21  # pixels, of the label in words


@dataclass(frozen=True)
class SheetRow:
    """One mixed image and where it comes from, all in the frame of the output.

    Attributes:
        method: name of the method, such as "CutMix"; neighbouring rows of one name form a group.
        receiver: uint8 [H, W, 3], the image that was mixed into.
        giver: uint8 [H, W, 3], its partner.
        mixed: uint8 [H, W, 3], the result.
        where: float32 [H, W] in [0, 1], the giver's share of every pixel.
        label: the soft label in words, a part for each class, such as ("63 % cat", "37 % coffee").
        shares: what receiver and giver count for in the label, in this order; they need not add up to 1.
        heatmap: float32 [gh, gw], the giver's heatmap; None for a method that reads none.
        source: (y0, x0, y1, x1), the box of the giver that is pasted elsewhere; None if all keeps its place.
        classes: the names of the classes in the label.
    """

    method: str
    receiver: np.ndarray
    giver: np.ndarray
    mixed: np.ndarray
    where: np.ndarray
    label: tuple[str, ...]
    shares: tuple[float, ...]
    heatmap: np.ndarray | None = None
    source: tuple[int, ...] | None = None
    classes: tuple[str, ...] = ()


def rows_of_batch(
    method: str,
    images: np.ndarray,
    mixed: np.ndarray,
    plan: MixPlan,
    targets: np.ndarray,
    classes: Sequence[str],
    count: int,
    heatmaps: np.ndarray | None = None,
) -> list[SheetRow]:
    """The most telling samples of a batch: two classes, both with a fair share, and different ones in every row.

    Args:
        method: name of the method.
        images: uint8 [B, H, W, 3], as they were mixed (mirrored already).
        mixed: uint8 [B, H, W, 3], the result.
        plan: of the batch, NumPy arrays.
        targets: float32 [B, C], the soft labels.
        classes: C names.
        count: how many rows at most; fewer come back if fewer images were mixed.
        heatmaps: float32 [B, gh, gw], if the method reads them; as the images, so mirrored already.

    Returns:
        Rows of different receivers, the same ones for the same batch.

    Raises:
        ValueError: the arrays are not of one batch, or `classes` are not C.
    """
    _check_one_batch(images, mixed, plan, targets, heatmaps)
    rows = []
    for i in _telling(plan, targets, count):
        partner, where = plan.partner[i], _where(plan, i, images.shape[1:3])
        mentioned = _mentioned(targets[i])
        words, names = _words(targets[i], mentioned, classes), tuple(classes[c] for c in mentioned)
        shares, source = tuple(plan.weight[i].tolist()), _source(plan, i)
        heatmap = None if heatmaps is None else heatmaps[partner]
        pictures = images[i], images[partner], mixed[i], where
        rows.append(SheetRow(method, *pictures, words, shares, heatmap, source, names))
    return rows


def label_in_words(target: np.ndarray, classes: Sequence[str]) -> str:
    """A soft label such as "63 % cat + 37 % coffee", the largest share first.

    Args:
        target: float32 [C], shares of the classes; below half a percent they are left out.
        classes: C names.

    Raises:
        ValueError: another number of names than of shares.
    """
    if not isinstance(target, np.ndarray) or target.ndim != 1 or target.dtype.kind != "f":
        raise TypeError(f"target must be a floating array [C], one share per class, got {_kind(target)}")
    if isinstance(classes, str) or not isinstance(classes, Sequence):
        raise TypeError(f"classes must be a list of names, got {classes!r}")
    if len(classes) != len(target):
        raise ValueError(f"target has {len(target)} shares, but there are {len(classes)} class names")
    return " + ".join(_words(target, _mentioned(target), classes))


def _mentioned(target: np.ndarray) -> list[int]:
    """The classes of a soft label, the largest share first."""
    shares = np.asarray(target, np.float64)
    return [int(c) for c in np.argsort(-shares, kind="stable") if shares[c] >= MENTIONED]


def _words(target: np.ndarray, mentioned: Sequence[int], classes: Sequence[str]) -> tuple[str, ...]:
    """A part for each class; never without any."""
    # round() goes to the even number at a half, so that two shares of x.5 still add up to 100
    words = [f"{max(1, round(100 * float(target[c])))} % {classes[c]}" for c in mentioned]
    return tuple(words) or ("no class above 0.5 %",)


def classes_on(rows: Sequence[SheetRow]) -> set[str]:
    """The names of classes in the labels of some rows."""
    return {name for row in rows for name in row.classes}


def _kind(value: object) -> str:
    """What came instead of an array of the right kind."""
    return f"{value.dtype} {list(value.shape)}" if isinstance(value, np.ndarray) else type(value).__name__


def _check_one_batch(
    images: np.ndarray, mixed: np.ndarray, plan: MixPlan, targets: np.ndarray, heatmaps: np.ndarray | None
) -> None:
    arrays = [images, mixed, plan.partner, targets, *([] if heatmaps is None else [heatmaps])]
    if len({len(array) for array in arrays}) > 1 or images.shape != mixed.shape:
        shapes = f"images {images.shape}, mixed {mixed.shape}, plan of {len(plan.partner)}, targets {targets.shape}"
        shapes += "" if heatmaps is None else f", heatmaps {heatmaps.shape}"
        raise ValueError(f"not of one batch: {shapes}")


def _telling(plan: MixPlan, targets: np.ndarray, count: int) -> list[int]:
    """Samples with a partner, first those of two classes with fair shares; then those of classes shown least."""
    shares = targets / np.maximum(targets.sum(axis=1, keepdims=True), 1e-8)
    top = np.argsort(-shares, axis=1, kind="stable")[:, :2]
    second = np.take_along_axis(shares, top, axis=1)[:, 1:].sum(axis=1)  # 0 if there is one class only
    fair = np.minimum(second, BALANCED)
    shown = np.zeros(targets.shape[1], int)
    left = [i for i in range(len(targets)) if plan.partner[i] != i]
    chosen: list[int] = []
    while left and len(chosen) < count:
        best = min(left, key=lambda i: (-fair[i], shown[top[i]].sum(), i))
        left.remove(best)
        chosen.append(best)
        shown[top[best]] += 1
    return chosen


def _where(plan: MixPlan, i: int, size: tuple[int, ...]) -> np.ndarray:
    """Float32 [H, W]: the giver's share of every pixel of sample i."""
    where = np.full(size, 1 - plan.blend[i], np.float32)
    top, left, bottom, right = plan.box[i]
    where[top:bottom, left:right] = 1
    if plan.tokens is not None:
        rows, columns = (cells(n, g) for n, g in zip(size, plan.tokens.shape[1:], strict=True))
        where[plan.tokens[i][np.ix_(rows, columns)] != 0] = 1
    return where


def _source(plan: MixPlan, i: int) -> tuple[int, ...] | None:
    """The box of the giver that sample i shows elsewhere."""
    moved = plan.blend[i] == 1 and plan.shift[i].any()
    return tuple((plan.box[i].reshape(2, 2) + plan.shift[i]).ravel().tolist()) if moved else None


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
    out = as_path(out)
    if not isinstance(title, str) or not isinstance(subtitle, str):
        raise TypeError(f"title and subtitle must be strings, got {title!r} and {subtitle!r}")
    if not rows:
        raise ValueError("nothing to draw: no rows were given")
    head = Head(wrapped(title, 75), wrapped(subtitle, 145))
    groups = [list(group) for _, group in groupby(rows, key=lambda row: row.method)]
    tops = list(accumulate(map(_group_height, groups), initial=head.height))
    page = Page(_layout(rows), tops.pop() - GROUP_GAP + MARGIN)
    head.draw(page)
    for group, top in zip(groups, tops, strict=True):
        _draw_group(page, top, group)
    page.save(out)


def _layout(rows: Sequence[SheetRow]) -> Layout:
    """The columns from left to right; that of the heatmaps only if there are any."""
    columns = [
        Column("receives", lambda row: row.receiver, swatch(RECEIVER)),
        Column("gives", _giver, swatch(GIVER)),
        Column("what the teacher sees", _heat, heat_key(), heat_colors()),
        Column("where they mix", lambda row: mix_overlay(row.receiver, row.where)),
        Column("result", lambda row: row.mixed),
    ]
    if all(row.heatmap is None for row in rows):
        columns = [column for column in columns if column.show is not _heat]
    return Layout(tuple(columns))


def _giver(row: SheetRow) -> np.ndarray:
    return row.giver if row.source is None else framed(row.giver, row.source)


def _heat(row: SheetRow) -> np.ndarray | None:
    return None if row.heatmap is None else heat_overlay(row.giver, row.heatmap)


def _group_height(group: list[SheetRow]) -> int:
    return sum(picture_height(row.mixed) + GAP for row in group) - GAP + GROUP_GAP


def _draw_group(page: Page, y: int, group: list[SheetRow]) -> None:
    page.box(MARGIN, y - 8, page.layout.width - 2 * MARGIN, 1, HAIRLINE)
    page.text(MARGIN, y + 14, wrapped(group[0].method, 15), 15, 20, weight="bold")
    for row in group:
        _draw_pictures(page, y, row)
        _draw_label(page, y + picture_height(row.mixed) / 2, row)
        y += picture_height(row.mixed) + GAP


def _draw_pictures(page: Page, y: int, row: SheetRow) -> None:
    for x, column in zip(page.layout.column_x, page.layout.columns, strict=True):
        image = column.show(row)
        if image is not None:
            page.picture(x, y, image)
        else:
            middle = x + PICTURE / 2, y + picture_height(row.mixed) / 2
            page.text(*middle, ["needs none"], 13, color=QUIET, ha="center", va="center")


def _draw_label(page: Page, middle: float, row: SheetRow) -> None:
    """The label in words, a class per line, and below it a bar of the shares, the larger one first as in the words."""
    first, *others = row.label
    lines = [line for part in (first, *(f"+ {other}" for other in others)) for line in wrapped(part, 22)]
    room = max(1, (picture_height(row.mixed) - 18) // LINE)
    if len(lines) > room:
        lines = [*lines[: room - 1], "…"]
    top = middle - (len(lines) * LINE + 18) / 2
    page.text(page.layout.label_x, top + 15, lines, 15.5, LINE)
    x, y = float(page.layout.label_x), top + len(lines) * LINE + 8
    page.box(x, y, LABEL, 10, TRACK)
    for share, color in sorted(zip(row.shares, (RECEIVER, GIVER), strict=True), key=lambda item: -item[0]):
        width = LABEL * share / max(1.0, sum(row.shares))
        page.box(x, y, width, 10, color)
        x += width
