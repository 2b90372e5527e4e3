"""The page of a contact sheet: lengths, colours, columns, headings, and a PNG that stays small."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dali_ops.sheets.text import lettering
from dalimix.support.paths import errors_name, local_path

if TYPE_CHECKING:
    from PIL import Image

# All lengths are pixels of the finished sheet; a picture of 224 pixels is drawn pixel for pixel.
MARGIN, NAMES, PICTURE, LABEL, GAP, LABEL_GAP = 36, 164, 224, 210, 12, 22
DPI = 100
INK, QUIET, HAIRLINE, TRACK = "#1d2733", "#6b7785", "#d5dbe1", "#edf0f3"
RECEIVER, GIVER = "#a3adb8", "#d6137f"
EXACT = ("#ffffff", TRACK, RECEIVER, GIVER)  # colours that a palette must not change
MAX_BYTES = 2_500_000


@dataclass(frozen=True)
class Column:
    """A column of pictures.

    Attributes:
        name: its heading.
        show: the picture of a row, uint8 [h, w, 3]; None where its place stays empty.
        key: uint8 [h, w, 3], a swatch before the heading that explains a colour of the sheet; it is drawn pixel for
            pixel.
        colors: [n][3] from 0 to 255, which a palette must have, as its pictures are nothing without them.
    """

    name: str
    show: Callable[[Any], np.ndarray | None]
    key: np.ndarray | None = None
    colors: Sequence[list[int]] = ()


@dataclass(frozen=True)
class Layout:
    """What stands where across a sheet; every column makes it one picture and one gap wider."""

    columns: tuple[Column, ...]

    @property
    def column_x(self) -> tuple[int, ...]:
        return tuple(MARGIN + NAMES + n * (PICTURE + GAP) for n in range(len(self.columns)))

    @property
    def label_x(self) -> int:
        return self.column_x[-1] + PICTURE + LABEL_GAP

    @property
    def width(self) -> int:
        return self.label_x + LABEL + MARGIN

    @property
    def colors(self) -> list[list[int]]:
        return [color for column in self.columns for color in column.colors]


class Page:
    """A white sheet with (0, 0) at the top left and pixels as unit."""

    def __init__(self, layout: Layout, height: int) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self.layout = layout
        self.figure = Figure(figsize=(layout.width / DPI, height / DPI), dpi=DPI, facecolor="white")
        self.canvas = FigureCanvasAgg(self.figure)
        self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set(xlim=(0, layout.width), ylim=(height, 0), autoscale_on=False)
        self.axes.set_axis_off()

    def text(self, x: float, baseline: float, lines: list[str], size: float, step: float = 0, **style: Any) -> None:
        """Lines `step` apart. They are set one by one: matplotlib's own distance varies with the letters."""
        look: dict[str, Any] = {"color": INK, "va": "baseline", "parse_math": False}
        for n, line in enumerate(lines):
            letters, family = lettering(line)
            look |= {"family": family, "fontsize": size * 72 / DPI}
            self.axes.text(x, baseline + n * step, letters, **(look | style))

    def box(self, x: float, y: float, width: float, height: float, color: str) -> None:
        from matplotlib.patches import Rectangle

        self.axes.add_patch(Rectangle((x, y), width, height, facecolor=color, linewidth=0))

    def picture(self, x: float, y: float, image: np.ndarray, width: int = PICTURE) -> None:
        extent = (x, x + width, y + picture_height(image, width), y)
        self.axes.imshow(image, extent=extent, aspect="auto", interpolation="auto", resample=True)

    def save(self, out: Path) -> None:
        """Colours are reduced to a palette where the file would be too large otherwise."""
        from PIL import Image

        self.canvas.draw()
        sheet = Image.fromarray(np.asarray(self.canvas.buffer_rgba())[..., :3])
        out.parent.mkdir(parents=True, exist_ok=True)
        with errors_name(out):
            sheet.save(out, format="PNG")
            if out.stat().st_size > MAX_BYTES:
                _with_palette(sheet, self.layout.colors).save(out, format="PNG")


def as_path(out: str | PathLike[str]) -> Path:
    """Where to write a picture.

    Raises:
        TypeError, ValueError: it is no path, or none of this machine.
    """
    return local_path(out, "out")


def picture_height(image: np.ndarray, width: int = PICTURE) -> int:
    height: int = round(width * image.shape[0] / image.shape[1])
    return height


def rgb(color: str) -> list[int]:
    return [int(color[n : n + 2], 16) for n in (1, 3, 5)]


def swatch(color: str) -> np.ndarray:
    """Uint8 [11, 11, 3]: a square of one colour, as the key of a column."""
    return np.full((11, 11, 3), rgb(color), np.uint8)


def _with_palette(sheet: Image.Image, needed: list[list[int]]) -> Image.Image:
    """The sheet in 256 colours, dithered, but for the paper and the bars, which keep their colours exactly.

    Most of the 256 are the frequent ones; those in `needed` are among them however rare they are.
    """
    from PIL import Image

    free = 256 - len(EXACT) - len(needed)
    frequent = sheet.quantize(free).getpalette() or []
    colors = [*frequent, *[0] * 3 * free][: 3 * free] + [value for color in needed for value in color]
    palette = Image.new("P", (1, 1))
    palette.putpalette(colors)
    indices = np.array(sheet.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG))
    for n, color in enumerate(EXACT, free + len(needed)):
        indices[(np.asarray(sheet) == rgb(color)).all(axis=-1)] = n
        colors += rgb(color)
    result = Image.fromarray(indices)
    result.putpalette(colors)
    return result


@dataclass(frozen=True)
class Head:
    """Title and subtitle, by lines, and the names of the columns."""

    title: list[str]
    subtitle: list[str]

    @property
    def columns_y(self) -> int:
        return MARGIN + 38 * len(self.title) + 22 * len(self.subtitle) + 20

    @property
    def height(self) -> int:
        return self.columns_y + 36

    def draw(self, page: Page) -> None:
        page.text(MARGIN, MARGIN + 22, self.title, 28, 38, weight="bold")
        page.text(MARGIN, MARGIN + 38 * len(self.title) + 15, self.subtitle, 15, 22, color=QUIET)
        for x, column in zip(page.layout.column_x, page.layout.columns, strict=True):
            if column.key is not None:
                page.picture(x, self.columns_y + 3, column.key, column.key.shape[1])
                x += column.key.shape[1] + 7
            page.text(x, self.columns_y + 13, [column.name], 14, color=QUIET)
        page.text(page.layout.label_x, self.columns_y + 13, ["soft label"], 14, color=QUIET)
