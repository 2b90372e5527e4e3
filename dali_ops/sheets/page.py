"""The page of a sheet: strips from top to bottom, measured in pixels, and a PNG that stays small."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dali_ops.sheets.text import lettering, wrapped
from dalimix.support.paths import errors_name, local_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# All lengths are pixels of the finished sheet; a picture of 224 pixels is drawn pixel for pixel.
MARGIN, PICTURE, GAP = 36, 224, 12
HEADING, RULE = 11, 6  # heights of strips: of small headings, and around a rule
DPI = 100
INK, QUIET, HAIRLINE, TRACK = "#1d2733", "#6b7785", "#d5dbe1", "#edf0f3"
RECEIVER, GIVER = "#a3adb8", "#d6137f"
TITLE, SUBTITLE = 38, 22  # heights of their lines
MAX_BYTES = 2_500_000

Strip = tuple[int, Callable[["Axes"], object]]  # its height, and what draws it


def draw_page(width: int, strips: Sequence[Strip], out: Path) -> None:
    """Draw strips as wide as the page, a gap apart, and equal margins around all that is on them.

    In a strip, (0, 0) is at the top left. A text may be longer than the page, which is wider then.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    heights = [height for height, _ in strips]
    size = width / DPI, (sum(heights) + GAP * (len(heights) - 1)) / DPI
    figure = Figure(figsize=size, dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    # Not a constrained layout: it would give the pictures some other size, so that they were drawn blurred.
    grid = {"left": 0, "right": 1, "bottom": 0, "top": 1, "hspace": GAP / np.mean(heights), "height_ratios": heights}
    axes = figure.subplots(len(strips), squeeze=False, gridspec_kw=grid)[:, 0]
    for (height, draw), strip in zip(strips, axes, strict=True):
        strip.set(xlim=(0, width), ylim=(height, 0), autoscale_on=False)
        strip.set_axis_off()
        draw(strip)
    _save(figure, out)


def _save(figure: Figure, out: Path) -> None:
    """As large as what is drawn, and in 256 colours where the file would be too large otherwise."""
    from PIL import Image

    out.parent.mkdir(parents=True, exist_ok=True)
    with errors_name(out):
        figure.savefig(out, format="png", dpi=DPI, bbox_inches="tight", pad_inches=MARGIN / DPI)
        if out.stat().st_size > MAX_BYTES:
            with Image.open(out) as sheet:
                reduced = _with_palette(sheet.convert("RGB"))
            reduced.save(out, format="PNG")


def _with_palette(sheet: Any) -> Any:
    """The sheet in 256 colours, dithered but for the paper, which stays white."""
    from PIL import Image

    palette = sheet.quantize(255, Image.Quantize.FASTOCTREE)
    colors = palette.getpalette()
    reduced = sheet.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
    reduced.paste(len(colors) // 3, mask=Image.fromarray((np.asarray(sheet) == 255).all(axis=-1)))
    reduced.putpalette([*colors, 255, 255, 255])
    return reduced


def head(title: str, subtitle: str | Sequence[str]) -> Strip:
    """Title and subtitle, each in as many lines as it takes; parts of a subtitle begin lines of their own."""
    parts = [subtitle] if isinstance(subtitle, str) else subtitle
    large, small = wrapped(title, 75), [line for part in parts for line in wrapped(part, 145)]

    def draw(strip: Axes) -> None:
        text(strip, 0, 22, large, 28, TITLE, weight="bold")
        text(strip, 0, TITLE * len(large) + 15, small, 15, SUBTITLE, color=QUIET)

    return TITLE * len(large) + SUBTITLE * len(small) + 8, draw


def text(strip: Axes, x: float, y: float, lines: Sequence[str], size: float, step: float = 0, **style: Any) -> None:
    """Lines `step` apart, the first one on y. Each is set by itself: matplotlib's distance varies with the letters."""
    look: dict[str, Any] = {"color": INK, "va": "baseline", "parse_math": False}
    for n, line in enumerate(lines):
        letters, family = lettering(line)
        look |= {"family": family, "fontsize": size * 72 / DPI}
        strip.text(x, y + n * step, letters, **(look | style))


def heading(strip: Axes, x: float, name: str, key: np.ndarray | None = None) -> None:
    """Small words, after a swatch, uint8 [h, w, 3], that explains a colour of the sheet."""
    if key is not None:
        picture(strip, x, key, key.shape[1])
        x += key.shape[1] + 7
    text(strip, x, HEADING, [name], 14, color=QUIET)


def box(strip: Axes, x: float, y: float, width: float, height: float, color: str) -> None:
    from matplotlib.patches import Rectangle

    strip.add_patch(Rectangle((x, y), width, height, facecolor=color, linewidth=0))


def rule(strip: Axes) -> None:
    """A thin line across the page."""
    box(strip, 0, RULE // 2, strip.get_xlim()[1], 1, HAIRLINE)


def picture(strip: Axes, x: float, image: np.ndarray, width: int = PICTURE) -> None:
    """An image, uint8 [h, w, 3], from the top of a strip."""
    extent = (x, x + width, picture_height(image, width), 0)
    strip.imshow(image, extent=extent, aspect="auto", interpolation="auto", resample=True)


def picture_height(image: np.ndarray, width: int = PICTURE) -> int:
    height: int = round(width * image.shape[0] / image.shape[1])
    return height


def as_path(out: str | PathLike[str]) -> Path:
    """Where to write a picture.

    Raises:
        TypeError, ValueError: it is no path, or none of this machine.
    """
    return local_path(out, "out")


def rgb(color: str) -> list[int]:
    return [int(color[n : n + 2], 16) for n in (1, 3, 5)]


def swatch(color: str) -> np.ndarray:
    """Uint8 [11, 11, 3]: a square of one colour, as the key of a column."""
    return np.full((HEADING, HEADING, 3), rgb(color), np.uint8)
