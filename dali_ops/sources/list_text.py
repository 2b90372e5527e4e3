"""The lines of a list of files, as DALI, Caffe, pandas and people write them."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from dali_ops.sources.shard_files import kind_of

NUMBER = re.compile(r"\d{1,18}", re.ASCII)
ANY_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
# columns, the likeliest first
PATHS = ("path", "filepath", "file_path", "filename", "file_name", "file", "image_path", "img_path", "image_name",
         "image", "img", "name")  # fmt: skip
LABELS = ("label", "label_id", "label_idx", "target", "class_id", "class_idx", "class_number", "class", "class_name",
          "category", "y")  # fmt: skip
SEPARATORS = (",", ";", "\t", " ")
EXPECTED = "expected PATH LABEL"


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
        exists: whether the file of a path is there; asked only where a line can be read in two ways.
    """

    file: Path
    classes: frozenset[str]
    exists: Callable[[str], bool]

    def entries(self) -> list[Entry]:
        """All lines but empty ones and comments.

        Raises:
            ValueError: the list is something else, or a line is, by its number.
            OSError: it cannot be read.
        """
        lines = [(f"{self.file}, line {k}", line.strip()) for k, line in enumerate(_lines(_text(self.file)), 1)]
        lines = [(where, line) for where, line in lines if line and not self._is_comment(line)]
        columns = _columns(lines[0][1]) if lines else None
        found = _of_table(lines[1:], *columns) if columns else (self._entry(*line) for line in lines)
        entries = list(found)
        if not entries:
            raise ValueError(f"{self.file} is empty: expected a line PATH LABEL for each image")
        return entries

    def _is_comment(self, line: str) -> bool:
        """Not if a file is called so."""
        pair = self._pair(line) if line.startswith("#") else None
        return line.startswith("#") and not (pair and self.exists(pair[0]))

    def _entry(self, where: str, line: str) -> Entry:
        pair = self._pair(line)
        if pair is None:
            raise ValueError(f"{where}: {EXPECTED}, got {line!r:.200}{self._hint(line)}")
        last = re.split(r"[\s,;]", pair[0])[-1]
        if ANY_NUMBER.fullmatch(last) and not self.exists(pair[0]):
            raise ValueError(
                f"{where}: {EXPECTED}, got {line!r:.200}, which has several numbers; an image has one class"
            )
        return Entry(*pair, where)

    def _pair(self, line: str) -> tuple[str, str] | None:
        """Path and label: a number first of all, behind the last separator; else the longest name."""
        for separator in ("\t", None, ",", ";"):
            path, label = _cut(line.rsplit(separator, 1)) if separator is None or separator in line else ("", "")
            if path and NUMBER.fullmatch(label):
                return path, label
        for blank in re.finditer(r"[\t,;]|\s+", line) if self.classes else ():
            path, label = _cut([line[: blank.start()], line[blank.end() :]])
            if path and label in self.classes:
                return path, label
        return None

    def _hint(self, line: str) -> str:
        parts = re.split(r"[\s,;]+", line)
        if len(parts) > 1 and NUMBER.fullmatch(parts[0]):
            return "; the number comes last"
        if len(parts) == 1 or ANY_NUMBER.fullmatch(parts[-1]):
            return "; LABEL is a class number, a whole one from 0"
        return f"; {of_names(self.classes)}"


def of_names(classes: Collection[str]) -> str:
    """What to do about a label that is no number."""
    return "it is none of classes" if classes else "for names, give classes=[…], all in the order of their numbers"


def _cut(parts: list[str]) -> tuple[str, str]:
    """Without quotes, and without a second separator: ``"a b.jpg", 0``."""
    if len(parts) < 2:
        return "", ""
    return _unquoted(parts[0].rstrip(" \t,;")), _unquoted(parts[1].strip())


def _unquoted(text: str) -> str:
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
    return text[1:-1].replace(text[0] * 2, text[0]) if quoted else text


def _columns(line: str) -> tuple[str, int, int, int] | None:
    """Of a line that names the columns of a table: separator, how many, and the places of path and label."""
    for separator in SEPARATORS:
        names = [name.lower() for name in _cells(line, separator)]
        paths, labels = ([names.index(one) for one in known if one in names] for known in (PATHS, LABELS))
        if paths and labels:
            return separator, len(names), paths[0], labels[0]
    return None


def _cells(line: str, separator: str) -> list[str]:
    """Nothing of a line that is no row of a table: csv takes no cells of 128 kB."""
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=separator))]
    except csv.Error:
        return []


def _of_table(lines: Sequence[tuple[str, str]], separator: str, count: int, path: int, label: int) -> Iterator[Entry]:
    for where, line in lines:
        cells = _cells(line, separator)
        if len(cells) != count or not cells[path] or not cells[label]:
            raise ValueError(f"{where}: expected {count} columns, as the first line has, got {line!r:.200}")
        yield Entry(cells[path], cells[label], where)


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
            kind = kind_of(start) or "binary"
            raise ValueError(f"{file} is a {kind} file, expected a list, text with a line PATH LABEL for each image")
        data = start + opened.read()
    text = data.decode("utf-16", "replace") if wide else data.decode("utf-8-sig", "surrogateescape")
    if "\0" in text:
        raise ValueError(f"{file} is a binary file, expected a list, text with a line PATH LABEL for each image")
    return text
