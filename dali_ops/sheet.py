"""A contact sheet of mixed images: what receives, what gives, where they mix, the result, and its label in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np

from dalimix import MixPlan
from dalimix.reference.paste import cells

if TYPE_CHECKING:
    from PIL import Image

BALANCED = 0.15  # a sample is telling if the second class has at least this share of the label
MENTIONED = 0.005  # smaller shares are left out of the words

# All lengths are pixels of the finished sheet; a picture of 224 pixels is drawn pixel for pixel.
WIDTH, MARGIN, NAMES, PICTURE, GAP, GROUP_GAP = 1400, 36, 164, 224, 12, 30
COLUMNS = ("receives", "gives", "where they mix", "result")
COLUMN_X = tuple(MARGIN + NAMES + n * (PICTURE + GAP) for n in range(len(COLUMNS)))
LABEL_X = COLUMN_X[-1] + PICTURE + 22
LABEL_WIDTH = WIDTH - MARGIN - LABEL_X
DPI = 100
LINE = 21  # of the label in words
INK, QUIET, HAIRLINE, TRACK = "#1d2733", "#6b7785", "#d5dbe1", "#edf0f3"
RECEIVER, GIVER = "#a3adb8", "#d6137f"
EXACT = ("#ffffff", TRACK, RECEIVER, GIVER)  # colours that a palette must not change
MAX_BYTES = 2_500_000


@dataclass(frozen=True)
class SheetRow:
    """One mixed image and where it comes from, all in the frame of the output.

    Attributes:
        method: name of the method, such as "CutMix"; neighbouring rows of one name form a group.
        receiver: uint8 [H, W, 3], the image that was mixed into.
        giver: uint8 [H, W, 3], its partner.
        mixed: uint8 [H, W, 3], the result.
        where: float32 [H, W] in [0, 1], the giver's share of every pixel.
        label: the soft label in words, as from `label_in_words`.
        shares: what receiver and giver count for in the label, in this order; they need not add up to 1.
    """

    method: str
    receiver: np.ndarray
    giver: np.ndarray
    mixed: np.ndarray
    where: np.ndarray
    label: str
    shares: tuple[float, ...]


def rows_of_batch(
    method: str,
    images: np.ndarray,
    mixed: np.ndarray,
    plan: MixPlan,
    targets: np.ndarray,
    classes: Sequence[str],
    count: int,
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

    Returns:
        Rows of different receivers, the same ones for the same batch.

    Raises:
        ValueError: the arrays are not of one batch, or `classes` are not C.
    """
    sizes = {len(images), len(mixed), len(plan.partner), len(targets)}
    if len(sizes) > 1 or images.shape != mixed.shape:
        shapes = f"images {images.shape}, mixed {mixed.shape}, plan of {len(plan.partner)}, targets {targets.shape}"
        raise ValueError(f"not of one batch: {shapes}")
    rows = []
    for i in _telling(plan, targets, count):
        giver, where = images[plan.partner[i]], _where(plan, i, images.shape[1:3])
        words, shares = label_in_words(targets[i], classes), tuple(plan.weight[i].tolist())
        rows.append(SheetRow(method, images[i], giver, mixed[i], where, words, shares))
    return rows


def label_in_words(target: np.ndarray, classes: Sequence[str]) -> str:
    """A soft label such as "63 % cat + 37 % coffee", the largest share first.

    Args:
        target: float32 [C], shares of the classes; below half a percent they are left out.
        classes: C names.

    Raises:
        ValueError: another number of names than of shares.
    """
    if len(classes) != len(target):
        raise ValueError(f"target has {len(target)} shares, but there are {len(classes)} class names")
    shares = np.asarray(target, np.float64)
    order = np.argsort(-shares, kind="stable")
    # round() goes to the even number at a half, so that two shares of x.5 still add up to 100
    words = [f"{max(1, round(100 * shares[c]))} % {classes[c]}" for c in order if shares[c] >= MENTIONED]
    return " + ".join(words) or "no class above 0.5 %"


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


def draw_sheet(rows: Sequence[SheetRow], out: Path, title: str, subtitle: str = "") -> None:
    """Write the rows as one PNG, 1400 pixels wide, below 2.5 MB for up to some twenty rows.

    Args:
        rows: from top to bottom.
        out: the PNG file; its folder is made if need be.
        title: in large letters at the top.
        subtitle: a sentence or two below it.

    Raises:
        ValueError: there are no rows.
    """
    if not rows:
        raise ValueError("nothing to draw: no rows were given")
    head = _Head(wrap(title, 75), wrap(subtitle, 145))
    groups = [list(group) for _, group in groupby(rows, key=lambda row: row.method)]
    tops = list(accumulate(map(_group_height, groups), initial=head.height))
    page = _Page(tops.pop() - GROUP_GAP + MARGIN)
    head.draw(page)
    for group, top in zip(groups, tops, strict=True):
        _draw_group(page, top, group)
    page.save(Path(out))


class _Page:
    """A white sheet with (0, 0) at the top left and pixels as unit."""

    def __init__(self, height: int) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self.figure = Figure(figsize=(WIDTH / DPI, height / DPI), dpi=DPI, facecolor="white")
        self.canvas = FigureCanvasAgg(self.figure)
        self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set(xlim=(0, WIDTH), ylim=(height, 0), autoscale_on=False)
        self.axes.set_axis_off()

    def text(self, x: float, baseline: float, lines: list[str], size: float, step: float = 0, **style: Any) -> None:
        """Lines `step` apart. They are set one by one: matplotlib's own distance varies with the letters."""
        look: dict[str, Any] = {"color": INK, "va": "baseline", "family": "DejaVu Sans", "parse_math": False}
        for n, line in enumerate(lines):
            self.axes.text(x, baseline + n * step, line, fontsize=size * 72 / DPI, **(look | style))

    def box(self, x: float, y: float, width: float, height: float, color: str) -> None:
        from matplotlib.patches import Rectangle

        self.axes.add_patch(Rectangle((x, y), width, height, facecolor=color, linewidth=0))

    def picture(self, x: int, y: int, image: np.ndarray) -> None:
        extent = (x, x + PICTURE, y + _picture_height(image), y)
        self.axes.imshow(image, extent=extent, aspect="auto", interpolation="auto", resample=True)

    def save(self, out: Path) -> None:
        """Colours are reduced to a palette where the file would be too large otherwise."""
        from PIL import Image

        self.canvas.draw()
        sheet = Image.fromarray(np.asarray(self.canvas.buffer_rgba())[..., :3])
        out.parent.mkdir(parents=True, exist_ok=True)
        sheet.save(out, format="PNG")
        if out.stat().st_size > MAX_BYTES:
            _with_palette(sheet).save(out, format="PNG")


def _with_palette(sheet: Image.Image) -> Image.Image:
    """The sheet in 256 colours, dithered, but for the paper and the bars, which keep their colours exactly."""
    from PIL import Image

    free = 256 - len(EXACT)
    dithered = sheet.quantize(palette=sheet.quantize(free), dither=Image.Dither.FLOYDSTEINBERG)
    colors = [*(dithered.getpalette() or []), *[0] * 3 * free][: 3 * free]
    indices = np.array(dithered)
    for n, color in enumerate(EXACT, free):
        indices[(np.asarray(sheet) == _rgb(color)).all(axis=-1)] = n
        colors += _rgb(color)
    result = Image.fromarray(indices)
    result.putpalette(colors)
    return result


def _rgb(color: str) -> list[int]:
    return [int(color[n : n + 2], 16) for n in (1, 3, 5)]


@dataclass(frozen=True)
class _Head:
    """Title and subtitle, by lines, and the names of the columns."""

    title: list[str]
    subtitle: list[str]

    @property
    def columns_y(self) -> int:
        return MARGIN + 38 * len(self.title) + 22 * len(self.subtitle) + 20

    @property
    def height(self) -> int:
        return self.columns_y + 36

    def draw(self, page: _Page) -> None:
        page.text(MARGIN, MARGIN + 22, self.title, 28, 38, weight="bold")
        page.text(MARGIN, MARGIN + 38 * len(self.title) + 15, self.subtitle, 15, 22, color=QUIET)
        for x, name, color in zip(COLUMN_X, COLUMNS, (RECEIVER, GIVER, None, None), strict=True):
            if color:  # the key to the colours of the overlay and of the bars
                page.box(x, self.columns_y + 3, 11, 11, color)
            page.text(x + (18 if color else 0), self.columns_y + 13, [name], 14, color=QUIET)
        page.text(LABEL_X, self.columns_y + 13, ["soft label"], 14, color=QUIET)


def _picture_height(image: np.ndarray) -> int:
    return round(PICTURE * image.shape[0] / image.shape[1])


def _group_height(group: list[SheetRow]) -> int:
    return sum(_picture_height(row.mixed) + GAP for row in group) - GAP + GROUP_GAP


def _draw_group(page: _Page, y: int, group: list[SheetRow]) -> None:
    page.box(MARGIN, y - 8, WIDTH - 2 * MARGIN, 1, HAIRLINE)
    page.text(MARGIN, y + 14, wrap(group[0].method, 15), 15, 20, weight="bold")
    for row in group:
        for x, image in zip(COLUMN_X, (row.receiver, row.giver, _overlay(row), row.mixed), strict=True):
            page.picture(x, y, image)
        _draw_label(page, y + _picture_height(row.mixed) / 2, row)
        y += _picture_height(row.mixed) + GAP


def _overlay(row: SheetRow) -> np.ndarray:
    """Uint8 [H, W, 3]: the receiver in pale grey, under the giver's colour as strong as its share."""
    grey = 90 + 0.6 * (row.receiver @ np.array([0.299, 0.587, 0.114]))[..., None]
    alpha = 0.85 * row.where[..., None]
    return (grey * (1 - alpha) + np.array(_rgb(GIVER)) * alpha).round().astype(np.uint8)


def _draw_label(page: _Page, middle: float, row: SheetRow) -> None:
    """The label in words, a class per line, and below it a bar of the shares, the larger one first as in the words."""
    first, *others = row.label.split(" + ")
    lines = [line for part in (first, *(f"+ {other}" for other in others)) for line in wrap(part, 22)]
    room = max(1, (_picture_height(row.mixed) - 18) // LINE)
    if len(lines) > room:
        lines = [*lines[: room - 1], "…"]
    top = middle - (len(lines) * LINE + 18) / 2
    page.text(LABEL_X, top + 15, lines, 15.5, LINE)
    x, y = float(LABEL_X), top + len(lines) * LINE + 8
    page.box(x, y, LABEL_WIDTH, 10, TRACK)
    for share, color in sorted(zip(row.shares, (RECEIVER, GIVER), strict=True), key=lambda item: -item[0]):
        width = LABEL_WIDTH * share / max(1.0, sum(row.shares))
        page.box(x, y, width, 10, color)
        x += width
