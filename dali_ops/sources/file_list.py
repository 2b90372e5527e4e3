"""A list of files with their class numbers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dali_ops.sources.files import Files
from dali_ops.sources.list_text import NUMBER, Entry, ListReader, of_names
from dali_ops.sources.source import MOST_CLASSES
from dalimix.lists import texts
from dalimix.paths import local_path, local_text


@dataclass(frozen=True)
class FileList(Files):
    """Images and class numbers as told, e.g. ``FileList(["a.jpg", "b.jpg"], [0, 1])``.

    Attributes:
        files: paths, text, bytes or path objects; a list, an array or a generator.
        labels: class number of every file, from 0, as a list, an array or a tensor, [N] or [N, 1]; or its name, if the
            `classes` are given.
        classes: names of the classes; empty: as many as the labels need, named by their numbers.
        names: of the files, as they were told; empty: the paths.
    """

    classes: list[str] = field(default_factory=list)
    names: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Raises TypeError or ValueError: no files, another number of labels or names, a label that is no class."""
        super().__post_init__()
        names = texts("names", self.names) or list(self.files)
        if len(names) != len(self.files):
            raise ValueError(f"names has {len(names)} entries but files has {len(self.files)}")
        object.__setattr__(self, "names", names)

    @classmethod
    def open(
        cls, path: str | os.PathLike[str], root: str | os.PathLike[str] | None = None, classes: Sequence[str] = ()
    ) -> FileList:
        """Read a text file with a line ``PATH LABEL`` per image, as DALI's ``file_list`` and Caffe's lists are.

        Between them is a blank, a tab, a comma or a semicolon; paths may have blanks and quotes around them. A table
        whose first line names its columns, such as ``filename,label``, may have others. Lines that are empty or begin
        with ``#`` are passed over.

        Args:
            path: the text file, in UTF-8, or UTF-16 with a byte order mark.
            root: where relative paths start; None: at the folder of the list.
            classes: as of the class. With them, a label may be a name; digits are always a class number.

        Raises:
            TypeError, ValueError: the arguments; a line is not like that, by its number; or as of the class.
            OSError: the list is there, but cannot be read.
        """
        path, names = local_path(path), texts("classes", classes)
        start = path.parent if root is None else local_path(root, "root")
        if not start.is_dir() and root is not None:
            raise ValueError(f"root must be a folder, where the paths of {path} start, got {start}")
        entries = ListReader(path, frozenset(names), lambda told: os.path.lexists(_placed(start, told))).entries()
        numbers = {name: number for number, name in reversed(list(enumerate(names)))}
        labels = [_label(entry, numbers) for entry in entries]
        files = [_placed(start, entry.path, f"{entry.where}: the path") for entry in entries]
        return cls(files, labels, names, [entry.path for entry in entries])


def _placed(start: Path, told: str, name: str = "path") -> str:
    """As pathlib joins them, which takes long where there is nothing to join or to leave out."""
    path = local_text(told, name)
    if not start.name or "./" in path or "//" in path or path.endswith("/"):
        return str(start / path)
    return path if path.startswith("/") else f"{start}/{path}"


def _label(entry: Entry, classes: dict[str, int]) -> int:
    """Class number of a line."""
    label = int(entry.label) if NUMBER.fullmatch(entry.label) else classes.get(entry.label)
    if label is None:
        raise ValueError(f"{entry.where}: the label must be a class number, got {entry.label!r}; {of_names(classes)}")
    most = len(classes) or MOST_CLASSES
    if label >= most:
        told = f"{entry.path} has label {label}"
        raise ValueError(f"{entry.where}: {told}, but the {most} classes have the numbers from 0 on")
    return label
