"""The sheet of mixed images, as a reader sees it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dalimix
from dali_ops.sheets import page
from dali_ops.sheets.mixing_sheet import draw_sheet
from dali_ops.sheets.overlays import framed, heat_overlay, mix_overlay
from dali_ops.sheets.rows import SheetRow, rows_of_batch
from tests.support.data.at_random import random_images
from tests.support.sheets import batch, draw, of_the_giver, places_of

pytest.importorskip("matplotlib")
from PIL import Image

HEATMAP = np.random.default_rng(0).random((4, 7), np.float32)


@pytest.fixture
def row() -> SheetRow:
    return rows_of_batch("CutMix", **batch(dalimix.CutMix()), count=1)[0]


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The figures that are drawn from now on, which are not written."""
    drawn: list[Any] = []
    monkeypatch.setattr(page, "_save", lambda figure, out: drawn.append(figure))
    return drawn


def sized(row: SheetRow, height: int = 224, **change: Any) -> SheetRow:
    """A row of coarse photographs, which are as wide as the sheet draws them, pixel for pixel."""
    photographs = random_images(3, height // 28, 8).repeat(28, axis=1).repeat(28, axis=2)
    where = (np.arange(224) < 100).astype(np.float32)[None].repeat(height, axis=0)
    named = dict(zip(("receiver", "giver", "mixed"), photographs, strict=True))
    return replace(row, **named, where=where, **change)


def boxes(figure: Any, artists: str) -> list[Any]:
    """Where its texts or images stand, in pixels from the left and from the bottom."""
    found = [artist for axes in figure.axes for artist in getattr(axes, artists)]
    return [artist.get_window_extent() for artist in found if artists == "images" or artist.get_text()]


@pytest.mark.parametrize("heatmap", [None, HEATMAP], ids=["plain", "with heatmaps"])
@pytest.mark.parametrize("count", [1, 4])
def test_sheet_has_a_line_per_row_and_equal_margins(count, heatmap, row, tmp_path):
    out = tmp_path / "new" / "sheet.png"
    pixels = draw([replace(row, heatmap=heatmap)] * count, out)
    assert out.read_bytes()[1:4] == b"PNG"
    assert count * 160 < len(pixels) < count * 180 + 180
    ink = np.argwhere((pixels < 255).any(axis=-1))
    margins = *ink.min(axis=0), *(np.array(pixels.shape[:2]) - 1 - ink.max(axis=0))
    assert all(36 <= margin < 38 for margin in margins)
    bars = of_the_giver(pixels)[:, -240:].any(axis=1).astype(int)
    assert (np.diff(bars) == 1).sum() == count


@pytest.mark.parametrize("height", [224, 112])
def test_photographs_and_overlays_are_shown_as_they_are(height: int, row: SheetRow, tmp_path: Path) -> None:
    row = sized(row, height, heatmap=HEATMAP, source=(20, 30, 90, 200))
    overlays = framed(row.giver, row.source), heat_overlay(row.giver, HEATMAP), mix_overlay(row.receiver, row.where)
    gives, heat, where = overlays
    pixels, places = draw([row], tmp_path / "sheet.png"), []
    for picture in (row.receiver, gives, heat, where, row.mixed):
        ((top, left),) = places_of(picture, pixels)
        assert top + height + 36 == len(pixels)
        places.append(left)
    assert np.diff(places).tolist() == [224 + 12] * 4


@pytest.mark.parametrize("empty", [0, 1])
def test_row_without_a_heatmap_leaves_its_place_empty(empty: int, row: SheetRow, tmp_path: Path) -> None:
    row = sized(row)
    pixels = draw([replace(row, heatmap=None if n == empty else HEATMAP) for n in range(2)], tmp_path / "sheet.png")
    ((top, left),) = places_of(heat_overlay(row.giver, HEATMAP), pixels)
    top += 236 if empty else -236
    ink = np.argwhere((pixels[top : top + 224, left : left + 224] != 255).any(axis=-1))
    assert 100 < len(ink) < 1500  # a note, small and in the middle
    assert np.abs((ink.min(axis=0) + ink.max(axis=0)) / 2 - 112).max() < 3


LABELS = {
    "usual": ("63 % cat", "37 % coffee"),
    "long": ("63 % " + "a class with a name that takes several lines " * 2, "37 % " + "WWWWWWWW" * 9),
    "many": tuple(f"1 % class {n}" for n in range(30)),
    "signs": ("63 % $\\no$ and more", "37 % {cat} \\frac & #_^~%"),
    "Arabic": ("63 % قط", "37 % حصان صغير"),
    "none": ("no class above 0.5 %",),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("height", [224, 60])
@pytest.mark.parametrize("label", LABELS)
def test_texts_do_not_overlap(label: str, height: int, row: SheetRow, figures: list[Any], tmp_path: Path) -> None:
    rows = [
        sized(row, height // 28 * 28, label=LABELS[label], method=name, heatmap=None)
        for name in ("A", "B", "B", "a method with a name")
    ]
    draw_sheet(rows, tmp_path / "x.png", "A title of $ and {braces} " * 9, "and a long subtitle of some words " * 15)
    texts, images = boxes(figures[0], "texts"), boxes(figures[0], "images")
    assert len(texts) > 3 + 3 + 6
    for n, text in enumerate(texts):
        assert not text.count_overlaps([*texts[:n], *images])


def test_the_words_of_a_label_are_all_there(row: SheetRow, figures: list[Any], tmp_path: Path) -> None:
    draw_sheet([sized(row, label=LABELS["signs"])], tmp_path / "x.png", "A title", "")
    said = [text.get_text() for text in figures[0].findobj(lambda artist: hasattr(artist, "get_text"))]
    for word in ("CutMix", "receives", "gives", "result", "63 % $\\no$ and more", "+ 37 % {cat} \\frac &", "#_^~%"):
        assert word in said


@pytest.mark.parametrize("heatmap", [None, HEATMAP], ids=["plain", "with heatmaps"])
def test_long_sheet_stays_small_and_white(heatmap: np.ndarray | None, row: SheetRow, tmp_path: Path) -> None:
    """Noise needs the palette, whose colours it takes for itself; those of paper, bars and heat must survive."""
    noise, where = random_images(7, 224, 224), np.zeros((224, 224), np.float32)
    rows = [replace(row, mixed=x, receiver=x[::-1], giver=240 + x % 16, where=where, heatmap=heatmap) for x in noise]
    pixels = draw(rows, tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.mode == "P"
    assert (tmp_path / "sheet.png").stat().st_size < 2_500_000
    assert (pixels[:, :36] == 255).all()
    bars = of_the_giver(pixels)[:, -240:].any(axis=1).astype(int)
    assert (np.diff(bars) == 1).sum() == 7
    assert np.abs(pixels[-260:-36, 200:424].mean((0, 1)) - noise[-1].mean((0, 1))).max() < 4
    if heatmap is not None:
        exact = heat_overlay(rows[-1].giver, heatmap)
        assert np.abs(pixels[-260:-36, 672:896] - exact).mean() < 12


def test_sheet_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing to draw"):
        draw_sheet([], tmp_path / "sheet.png", "A title")
    assert not list(tmp_path.iterdir())
