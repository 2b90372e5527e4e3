"""Lists that are tables: which columns have the paths and the labels, by their headings."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

# headings, the likeliest first
PATHS = ("path", "filepath", "file_path", "filename", "file_name", "file", "image_path", "img_path", "image_name",
         "image", "img", "name")  # fmt: skip
LABELS = ("label", "label_id", "label_idx", "target", "class_id", "class_idx", "class_number", "class", "class_name",
          "category", "y")  # fmt: skip
SEPARATORS = (",", ";", "\t", " ")
Line = tuple[str, str]  # where it stands, for messages, and what it says
Answer = Callable[[str], object]  # asks something about a cell, yes or no


class Columns(NamedTuple):
    """How a table is cut, into how many cells, and the places of path and label."""

    separator: str
    width: int
    path: int
    label: int


def columns_of(heading: str, row: str, is_file: Answer, is_label: Answer) -> Columns | None:
    """The columns of a table, if its first line names them; what stands below decides between several.

    Args:
        heading: the first line.
        row: the second one; empty if there is none.
        is_file: whether a cell is the path of a file that is there.
        is_label: whether a cell can be a label.

    Raises:
        ValueError: the paths are in a column of another name.
    """
    for separator in SEPARATORS:
        names, cells = _cells(heading.lower(), separator), _cells(row, separator)
        paths, labels = _places(names, PATHS), _places(names, LABELS)
        if paths and labels:
            cells = cells if len(cells) == len(names) else [""] * len(names)
            label = next((k for k in labels if is_label(cells[k])), labels[0])
            return Columns(separator, len(names), _column_of_paths(names, cells, paths, is_file), label)
    return None


def _places(names: Sequence[str], known: Sequence[str]) -> list[int]:
    coordinates = {"x", "y"} <= set(names)  # of a box, where y is no label
    return [names.index(one) for one in known if one in names and not (one == "y" and coordinates)]


def _column_of_paths(names: Sequence[str], cells: Sequence[str], known: Sequence[int], is_file: Answer) -> int:
    if not any(is_file(cells[k]) for k in known):
        other = next((k for k, cell in enumerate(cells) if cell and is_file(cell)), None)
        if other is not None:
            found = f"the column {names[known[0]]!r} has no path of a file, but {names[other]!r} has"
            raise ValueError(f"{found}: call that {PATHS[0]!r}, and {names[known[0]]!r} something else")
    return next((k for k in known if is_file(cells[k])), known[0])


def unknown_headings(line: str) -> str:
    """What is missing in a first line that looks like headings; empty if it looks like something else."""
    found = next((cells for separator in SEPARATORS if len(cells := _cells(line.lower(), separator)) > 1), [])
    if not found or not all(name.replace("_", "").replace(" ", "").isalpha() for name in found):
        return ""
    lacks = [f"none of them is for the {what}: {', '.join(known)}"
             for what, known in {"paths": PATHS, "labels": LABELS}.items() if not _places(found, known)]  # fmt: skip
    return f"if the headings are {', '.join(found)}, then {'; '.join(lacks)}"


def rows_of(lines: Sequence[Line], columns: Columns) -> Iterator[tuple[str, str, str]]:
    """Path, label and where it stands, of every line below the headings.

    Raises:
        ValueError: a line has other columns, or an empty cell.
    """
    for where, line in lines:
        cells = _cells(line, columns.separator)
        if len(cells) != columns.width or not cells[columns.path] or not cells[columns.label]:
            raise ValueError(f"{where}: expected {columns.width} columns, as the first line has, got {line!r:.200}")
        yield cells[columns.path], cells[columns.label], where


def _cells(line: str, separator: str) -> list[str]:
    """Nothing of a line that is no row of a table: csv takes no cells of 128 kB."""
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=separator), [])]
    except csv.Error:
        return []
