"""Text on the sheets in any script, with fonts that have its letters."""

import warnings
from functools import cache
from pathlib import Path

import pytest

manager = pytest.importorskip("matplotlib.font_manager")
builder = pytest.importorskip("fontTools.fontBuilder")
pens = pytest.importorskip("fontTools.pens.ttGlyphPen")

from dali_ops.sheets import text as sheet_text
from dali_ops.sheets.page import draw_page, text
from dali_ops.sheets.text import UNKNOWN, USUAL, class_key, ending, lettering, readable_classes, spelled, wrapped

GOTHIC = "𐌰𐌱"  # letters of a script that no usual font has


def make_font(file: Path, family: str, letters: str) -> None:
    """A font in which every letter is a square."""
    pen = pens.TTGlyphPen(None)
    pen.moveTo((100, 0))
    for corner in ((100, 700), (800, 700), (800, 0)):
        pen.lineTo(corner)
    pen.closePath()
    names = [".notdef", *(f"g{ord(letter):x}" for letter in letters)]
    made = builder.FontBuilder(1000, isTTF=True)
    made.setupGlyphOrder(names)
    made.setupCharacterMap(dict(zip(map(ord, letters), names[1:], strict=True)))
    made.setupGlyf({name: pen.glyph() for name in names})
    made.setupHorizontalMetrics(dict.fromkeys(names, (900, 100)))
    made.setupHorizontalHeader(ascent=800, descent=-200)
    made.setupNameTable({"familyName": family, "styleName": "Regular"})
    made.setupOS2(usWeightClass=400)
    made.setupPost()
    made.save(file)


@pytest.fixture(autouse=True)
def system(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files of the system's fonts: none but those that a test adds; and nothing is known of before."""
    files: list[str] = []
    monkeypatch.setattr(manager, "findSystemFonts", lambda: files)
    own = [font for font in manager.fontManager.ttflist if "mpl-data" in font.fname]
    monkeypatch.setattr(manager.fontManager, "ttflist", own)
    monkeypatch.setattr(sheet_text, "_told", set())
    for function in (sheet_text._family_with, sheet_text._fonts):
        monkeypatch.setattr(sheet_text, function.__name__, cache(function.__wrapped__))
    return files


def test_letters_of_a_font_of_the_system(system: list[str], tmp_path: Path) -> None:
    """Also if it was installed after matplotlib made its list."""
    make_font(tmp_path / "gothic.ttf", "Some Gothic", GOTHIC)
    system.append(str(tmp_path / "gothic.ttf"))
    assert lettering(f"cat {GOTHIC}") == (f"cat {GOTHIC}", [USUAL, "Some Gothic"])
    assert readable_classes(["cat", GOTHIC]) == ["cat", GOTHIC]


@pytest.mark.filterwarnings("error")
def test_they_are_drawn(system: list[str], tmp_path: Path) -> None:
    """matplotlib warns of letters that it draws as boxes."""
    make_font(tmp_path / "gothic.ttf", "Another Gothic", GOTHIC)
    system.append(str(tmp_path / "gothic.ttf"))
    draw_page(100, [(20, lambda strip: text(strip, 10, 15, [GOTHIC], 15))], tmp_path / "sheet.png")


def test_without_a_font_classes_are_numbers_and_that_is_said_once() -> None:
    with pytest.warns(UserWarning, match="no font here has letters such as '猫'.*apt install fonts-noto-cjk") as told:
        names = readable_classes(["ant", "猫", "犬"])
    assert names == ["ant", "class 1", "class 2"]
    assert len(told) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert lettering("photos/猫/1.jpg") == (f"photos/{UNKNOWN}/1.jpg", [USUAL])


@pytest.mark.parametrize(
    ("name", "package"),
    [("한국", "fonts-noto-cjk"), ("ひらがな", "fonts-noto-cjk"), ("हिन्दी", "fonts-noto-core"), ("🫠", "fonts-symbola")],
    ids=["Korean", "Japanese", "Hindi", "symbol"],
)
def test_the_package_that_has_such_letters(name: str, package: str) -> None:
    with pytest.warns(UserWarning, match=f"apt install {package}"):
        assert readable_classes([name]) == ["class 0"]


def test_bytes_that_are_no_letters() -> None:
    with pytest.warns(UserWarning, match=r"letters such as '\\udcff': .* drawn instead$"):
        assert readable_classes(["\udcff"]) == ["class 0"]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["chat noir", "Größe", "кот", "γάτα", "قط", "$x_1$", "e\u0301"], ids=ascii)
def test_what_the_usual_font_has_needs_no_other(name: str) -> None:
    assert lettering(name) == (name, [USUAL])


def test_fonts_of_boxes_are_not_taken(system: list[str], tmp_path: Path) -> None:
    make_font(tmp_path / "resort.ttf", "My LastResort", GOTHIC)
    system.append(str(tmp_path / "resort.ttf"))
    with pytest.warns(UserWarning, match="no font here"):
        assert readable_classes([GOTHIC]) == ["class 0"]


def test_a_damaged_font_is_passed_over(system: list[str], tmp_path: Path) -> None:
    (tmp_path / "damaged.ttf").write_bytes(b"no font")
    system.append(str(tmp_path / "damaged.ttf"))
    with pytest.warns(UserWarning, match="no font here"):
        lettering(GOTHIC)


def test_lines_of_wide_letters_are_half_as_many() -> None:
    assert wrapped("猫" * 10, 8) == ["猫" * 4, "猫" * 4, "猫" * 2]
    assert wrapped("a cat and 猫", 8) == ["a cat", "and 猫"]
    assert wrapped("a cat", 22) == ["a cat"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [("abcd", "abcd"), ("abcde", "…cde"), ("猫猫", "猫猫"), ("a猫猫", "…猫"), ("猫abc", "…abc"), ("", "")],
    ids=["short", "long", "wide", "long and wide", "a wide one less", "empty"],
)
def test_the_ending_of_a_long_name(text: str, shown: str) -> None:
    assert ending(text, 4) == shown


@pytest.mark.filterwarnings("ignore:no font here")
def test_a_key_spells_the_classes_that_are_shown() -> None:
    """By their sound where Unicode tells it; every letter of it can be drawn."""
    classes = ["ant", "ミツバチ", "고양이", "狗2", "猫"]
    key = class_key(classes, {"ant", "class 1", "class 2", "class 3"})
    assert key == {"class 1": "ミツバチ", "class 2": "고양이", "class 3": "狗2"}
    assert spelled(key) == "class 1 is mi tu ba ti; class 2 is go yang i; class 3 is U+72D7 2"
    assert lettering(spelled(key)) == (spelled(key), [USUAL])


def test_no_key_where_a_font_has_all_letters() -> None:
    assert class_key(["ant", "кот"], {"ant", "кот"}) == {}
    assert spelled({}) == ""
