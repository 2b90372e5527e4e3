"""The lines of a list of files, as DALI, Caffe, pandas and people write them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from dali_ops.sources.class_names import of_names
from dali_ops.sources.file_kinds import kind_of
from dali_ops.sources.lists.table import Columns, Line, columns_of, rows_of, unknown_headings

DIGITS = re.compile(r"-?\d{1,18}", re.ASCII)
WHOLE = re.compile(r"-?\d{1,18}(\.0*)?", re.ASCII)  # as a table of floats has them, too
ANY_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
NO_UTF_8 = re.compile("[\udc80-\udcff]")  # letters that stand for bytes
EXPECTED = "expected PATH LABEL"
TEXT = "expected a list, text with a line PATH LABEL for each image, in UTF-8 or in UTF-16 with a byte order mark"


class Entry(NamedTuple):
    """What a line says; `where` is the list and the line's number, for messages."""

    path: str
    label: str
    where: str


@dataclass(frozen=True)
class ListReader:
    """Takes a list apart.

    Attributes:
        file: the list.
        classes: names that labels may have; empty: labels are numbers.
        is_file: whether that of a path is there; asked only where a line can be read in two ways.
    """

    file: Path
    classes: frozenset[str]
    is_file: Callable[[str], bool]

    def entries(self) -> list[Entry]:
        """All lines but empty ones and comments.

        Raises:
            ValueError: the list is something else, or a line is, by its number.
            OSError: it cannot be read.
        """
        lines = [(f"{self.file}, line {k}", line.strip()) for k, line in enumerate(_lines(_text(self.file)), 1)]
        lines = [(where, line) for where, line in lines if line and not self._is_comment(line)]
        columns = self._columns(lines)
        found = [self._entry(*line) for line in lines] if columns is None else self._rows(lines[1:], columns)
        if not found:
            raise ValueError(f"{self.file} is empty: expected a line PATH LABEL for each image")
        return found

    def _is_comment(self, line: str) -> bool:
        """Not if a file is called so."""
        pair = self._pair(line) if line.startswith("#") else None
        return line.startswith("#") and not (pair and self.is_file(pair[0]))

    def _columns(self, lines: list[Line]) -> Columns | None:
        """Those of a table; None if the first line is one of PATH LABEL."""
        if not lines:
            return None
        where, heading = lines[0]
        row = lines[1][1] if len(lines) > 1 else ""
        try:
            columns = columns_of(heading, row, lambda cell: self.is_file(self._path(cell)), self._is_label)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
        unknown = "" if columns or self._pair(heading) else unknown_headings(heading)
        if unknown:
            names = "" if "," in heading or self.classes else f"; {of_names(bool(self.classes))}"
            raise ValueError(f"{where}: {EXPECTED}, got {heading!r:.200}; {unknown}{names}")
        return columns

    def _is_label(self, cell: str) -> bool:
        label = self._label(cell)
        return WHOLE.fullmatch(label) is not None or label in self.classes

    def _path(self, cell: str) -> str:
        """Without single quotes, unless a file is called so."""
        bare = _unquoted(cell, "'")
        return bare if bare == cell or not self.is_file(cell) else cell

    def _label(self, cell: str) -> str:
        return cell if cell in self.classes else _unquoted(cell, "'")

    def _rows(self, lines: list[Line], columns: Columns) -> list[Entry]:
        rows = rows_of(lines, columns)
        found = [Entry(self._path(path), self._label(label), where) for path, label, where in rows]
        for entry in found:
            self._check_letters(entry.where, entry.path, "" if entry.label in self.classes else entry.label)
        return found

    def _entry(self, where: str, line: str) -> Entry:
        pair = self._pair(line)
        if pair is None:
            self._check_letters(where, "", line)
            raise ValueError(f"{where}: {EXPECTED}, got {line!r:.200}{self._hint(line)}")
        self._check_letters(where, pair[0])
        last = re.split(r"[\s,;]", pair[0])[-1]
        if ANY_NUMBER.fullmatch(last) and not self.is_file(pair[0]):
            raise ValueError(
                f"{where}: {EXPECTED}, got {line!r:.200}, which has several numbers; an image has one class"
            )
        return Entry(*pair, where)

    def _check_letters(self, where: str, path: str, text: str = "") -> None:
        """Refuse what is not in UTF-8, unless a file is called so.

        Raises:
            ValueError: with what to do.
        """
        wrong = path if NO_UTF_8.search(path) and not self.is_file(path) else text
        if NO_UTF_8.search(wrong):
            remedy = "convert the list, as iconv -f GBK -t UTF-8 does with one in GBK, and -f LATIN1 with another"
            raise ValueError(f"{where}: {os.fsencode(wrong)!r:.200} is not in UTF-8: {remedy}")

    def _pair(self, line: str) -> tuple[str, str] | None:
        """Path and label: a number first of all, behind the last separator; else the longest name."""
        for separator in ("\t", None, ",", ";"):
            path, label = _cut(line.rsplit(separator, 1)) if separator is None or separator in line else ("", "")
            if path and WHOLE.fullmatch(label):
                return self._path(path), label
        for blank in re.finditer(r"[\t,;]|\s+", line) if self.classes else ():
            path, label = _cut([line[: blank.start()], line[blank.end() :]])
            if path and label in self.classes:
                return self._path(path), label
        return None

    def _hint(self, line: str) -> str:
        parts = re.split(r"[\s,;]+", line)
        if len(parts) > 1 and DIGITS.fullmatch(parts[0]):
            return "; the number comes last"
        if len(parts) == 1 or ANY_NUMBER.fullmatch(parts[-1]):
            return "; LABEL is a class index, a whole number from 0"
        return f"; {of_names(bool(self.classes))}"


def _cut(parts: list[str]) -> tuple[str, str]:
    """Without double quotes, and without a second separator: ``"a b.jpg", 0``."""
    if len(parts) < 2:
        return "", ""
    return _unquoted(parts[0].rstrip(" \t,;"), '"'), _unquoted(parts[1].strip(), "\"'")


def _unquoted(text: str, quotes: str) -> str:
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in quotes
    return text[1:-1].replace(text[0] * 2, text[0]) if quoted else text


def _lines(text: str) -> list[str]:
    """Not ``splitlines``, which also cuts at characters that names may have."""
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _text(file: Path) -> str:
    """Of UTF-8 or UTF-16. Bytes that are not UTF-8 stay as they are: names of files may have such."""
    if not file.is_file():
        what = "no file" if file.exists() else "missing"
        raise ValueError(f"path must be a list with a line PATH LABEL for each image, but {file} is {what}")
    with file.open("rb") as opened:
        start = opened.read(1024)
        wide = start.startswith((b"\xff\xfe", b"\xfe\xff"))
        if kind_of(start) or (b"\0" in start and not wide):
            raise ValueError(f"{file} is a {kind_of(start) or 'binary'} file, {TEXT}")
        data = start + opened.read()
    text = data.decode("utf-16", "replace") if wide else data.decode("utf-8-sig", "surrogateescape")
    if "\0" in text:
        raise ValueError(f"{file} is a binary file, {TEXT}")
    return text
