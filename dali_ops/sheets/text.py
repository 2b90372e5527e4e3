"""Text on the sheets in any script: fonts of the system for what the usual one lacks, and lines that fit."""

from __future__ import annotations

import re
import unicodedata
import warnings
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from functools import cache
from textwrap import wrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.font_manager import FontEntry

USUAL = "DejaVu Sans"  # comes with matplotlib
UNKNOWN = "?"  # where no font has a letter
BOXES = re.compile("last ?resort|adobe.?blank", re.IGNORECASE)  # fonts that have a box, or nothing, for any letter
UNREADABLE = (OSError, RuntimeError, ValueError)  # of damaged fonts, and of those that cannot be scaled
CJK, SYMBOLS, OTHERS = "fonts-noto-cjk", "fonts-symbola", "fonts-noto-core"  # Debian's packages of fonts
# how the names of letters begin in Unicode
OF_CJK = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "IDEOGRAPHIC", "BOPOMOFO", "FULLWIDTH", "HALFWIDTH")
SOUND = re.compile(r"(?:HANGUL SYLLABLE|(?:HIRAGANA|KATAKANA) LETTER(?: SMALL)?) (\w+)")
_told: set[str] = set()  # the packages that were recommended already


def lettering(text: str) -> tuple[str, list[str]]:
    """A line as it can be drawn, and the families of fonts that it takes, the usual one first.

    Letters that no font has become question marks, and a warning says which fonts to install.
    """
    line = " ".join(text.splitlines())
    lost = {letter for letter in line if _family_with(letter) is None}
    if lost:
        _warn_once(min(lost))
    line = "".join(UNKNOWN if letter in lost else letter for letter in line)
    return line, list(dict.fromkeys([USUAL, *(_family_with(letter) or USUAL for letter in line)]))


def readable_classes(classes: Sequence[str]) -> list[str]:
    """Names of classes; "class 3" for one with letters that no font has, and a warning says which to install."""
    return [name if lettering(name)[0] == name else f"class {number}" for number, name in enumerate(classes)]


def class_key(classes: Sequence[str], shown: Collection[str]) -> dict[str, str]:
    """Those words of `readable_classes` which are shown and stand for a name that no font has, with these names."""
    readable = readable_classes(classes)
    return {word: name for word, name in zip(readable, classes, strict=True) if word in shown and word != name}


def spelled(key: Mapping[str, str]) -> str:
    """Such a key in letters that every font has: by their sound as Unicode names it, or by their numbers."""
    return "; ".join(f"{word} is {' '.join(map(_spelled, name))}" for word, name in key.items())


def _spelled(letter: str) -> str:
    """Of 한: han; of か and カ: ka; of 猫, whose sound Unicode does not tell: U+732B."""
    if _family_with(letter) is not None:
        return letter
    sound = SOUND.fullmatch(unicodedata.name(letter, ""))
    return sound[1].lower() if sound else f"U+{ord(letter):04X}"


def wrapped(text: str, width: int) -> list[str]:
    """Lines of at most `width` letters, of which those of Chinese and the like count twice."""
    doubled = "".join(f"{letter}\0" if _is_wide(letter) else letter for letter in text)
    return [line.replace("\0", "") for line in wrap(doubled, width)]


def ending(text: str, width: int) -> str:
    """One line of at most `width` letters, counted as in `wrapped`: the text, or its end after "…"."""
    if _width(text) <= width:
        return text
    return "…" + next(text[n:] for n in range(len(text) + 1) if _width(text[n:]) < width)


def _width(text: str) -> int:
    return sum(1 + _is_wide(letter) for letter in text)


def _is_wide(letter: str) -> bool:
    return unicodedata.east_asian_width(letter) in "WF"


def _warn_once(letter: str) -> None:
    package = _package(letter)
    if package in _told:
        return
    _told.add(package)
    remedy = f"; install a font for them (Debian: apt install {package})" if package else ""
    instead = "class indices or question marks are drawn instead"
    warnings.warn(f"no font here has letters such as {letter!r}: {instead}{remedy}", stacklevel=2)


def _package(letter: str) -> str:
    """Debian's, with a font for a letter; none for what is no letter, such as a byte that is no UTF-8."""
    if unicodedata.category(letter).startswith("C"):
        return ""
    if unicodedata.name(letter, "").startswith(OF_CJK):
        return CJK
    return SYMBOLS if unicodedata.category(letter) == "So" else OTHERS


@cache
def _family_with(letter: str) -> str | None:
    """The first family of fonts that has a letter: the usual one, or one that matplotlib finds on the system."""
    if letter.isascii() and letter.isprintable():
        return USUAL
    return next((font.name for font in _fonts() if ord(letter) in _letters(font.fname)), None)


@cache
def _fonts() -> list[FontEntry]:
    """The usual one first; also what was installed after matplotlib made its list. Upright ones of usual weight."""
    from matplotlib.font_manager import findSystemFonts, fontManager

    for file in sorted({*findSystemFonts()} - {font.fname for font in fontManager.ttflist}):
        with suppress(*UNREADABLE):
            fontManager.addfont(file)
    return sorted(filter(_is_plain, fontManager.ttflist), key=lambda font: font.name != USUAL)


def _is_plain(font: FontEntry) -> bool:
    """Whether matplotlib takes this one of its family, where nothing is said of its look."""
    return font.style == "normal" and font.weight in (400, "normal", "regular") and not BOXES.search(font.name)


@cache
def _letters(file: str) -> frozenset[int]:
    """Code points that a font has; none if it cannot be read, or not be scaled."""
    from matplotlib.ft2font import FT2Font

    try:
        font = FT2Font(file)
        return frozenset(font.get_charmap()) if font.scalable else frozenset()
    except UNREADABLE:
        return frozenset()
