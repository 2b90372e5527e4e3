"""A list of files with their class indices."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import InitVar, dataclass, field
from functools import partial
from pathlib import Path

from dali_ops.sources.class_names import ClassNames, of_names
from dali_ops.sources.files import Files
from dali_ops.sources.first_label import check_first_label, of_no_class, warn_without_class_0
from dali_ops.sources.lists.text import DIGITS, WHOLE, Entry, ListReader
from dali_ops.sources.source import MOST_CLASSES
from dalimix.support.lists import texts
from dalimix.support.paths import local_path, local_text

TRIED = 100  # files of a list, to learn whether the paths begin at the right folder


@dataclass(frozen=True)
class FileList(Files):
    """Images and class indices as told, e.g. ``FileList(["a.jpg", "b.jpg"], [0, 1])``.

    Args:
        first_label: the label of class 0: 1 for lists that count from 1. It is subtracted from all numbers.

    Attributes:
        files: paths, text, bytes or path objects; a list, an array or a generator.
        labels: class index of every file, from 0, as a list, an array or a tensor, [N] or [N, 1]; or its name, if the
            `classes` are given.
        classes: names of the classes; empty: as many as the labels need, named by their numbers, with a warning if
            class 0 has no image. Where labels are names, these must be of one class each.
        names: of the files, as they were told; empty: the paths.

    Examples:
        >>> source = FileList([f"{folder}/cat/0.jpg", f"{folder}/fox/0.jpg"], [0, 1], ["cat", "fox"])
        >>> source.labels, source.classes
        ([0, 1], ['cat', 'fox'])
        >>> named = FileList(source.files, ["fox", "cat"], ["cat", "fox"])  # labels by their names
        >>> named.labels
        [1, 0]
    """

    classes: list[str] = field(default_factory=list)
    names: Sequence[str] = ()
    first_label: InitVar[int] = 0

    def __post_init__(self, first_label: int) -> None:
        """Raises TypeError or ValueError: no files, another number of labels or names, a label that is no class, one
        name of several files."""
        first_label = check_first_label(first_label)
        named = bool(texts("classes", self.classes))
        self._bring_to_one_form(first_label)
        names = texts("names", self.names) or list(self.files)
        if len(names) != len(self.files):
            raise ValueError(f"names has {len(names)} entries but files has {len(self.files)}")
        _refuse_shared(names, self.files)
        object.__setattr__(self, "names", names)
        if not named:
            warn_without_class_0(min(self.labels), first_label, len(self.classes))

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        root: str | os.PathLike[str] | None = None,
        classes: Sequence[str] = (),
        first_label: int = 0,
    ) -> FileList:
        """Read a text file with a line ``PATH LABEL`` per image, as DALI's ``file_list`` and Caffe's lists are.

        Between them is a blank, a tab, a comma or a semicolon; paths may have blanks and quotes around them. A table
        may have other columns, if its first line names them: that of the paths, such as path, filename or image, and
        that of the labels, such as label, target or class. The error about a heading that is not known lists all that
        are. Lines that are empty or begin with ``#`` are passed over. A label that pandas has made a float, such as
        ``1.0``, is taken as 1. For lists that count from 1, give ``first_label=1``.

        Args:
            path: the text file, in UTF-8, or UTF-16 with a byte order mark.
            root: where relative paths start; None: at the folder of the list.
            classes: as in the class. With them, a label may be a name; digits are always a number.
            first_label: the label of class 0, if labels are numbers: 1 for lists that count from 1.

        Raises:
            TypeError, ValueError: the arguments; a line is not like that, by its number; none of the files is there; or
                as in the class.
            OSError: the list is there, but cannot be read.
        """
        path, names, first_label = local_path(path), texts("classes", classes), check_first_label(first_label)
        start = path.parent if root is None else local_path(root, "root")
        if not start.is_dir() and root is not None:
            raise ValueError(f"root must be a folder, where the paths of {path} start, got {start}")
        entries = ListReader(path, frozenset(names), partial(_is_there, start)).entries()
        numbers = ClassNames(names, first_label)
        labels = [_label(entry, numbers, len(names) or MOST_CLASSES, first_label) for entry in entries]
        files = [_placed(start, entry.path, f"{entry.where}: the path") for entry in entries]
        _refuse_all_missing(path, None if root is None else start, files)
        return cls(files, labels, names, [entry.path for entry in entries], first_label)


def _refuse_shared(names: Sequence[str], files: Sequence[str]) -> None:
    """A name finds the heatmap of its file. A file may be there several times, by the same name."""
    if len(set(names)) == len(names):
        return
    file_of = dict(zip(names, files, strict=True))
    shared = next((k for k, name in enumerate(names) if file_of[name] != files[k]), None)
    if shared is not None:
        name = names[shared]
        raise ValueError(f"names must be of one file each, but {name!r} is of {files[shared]} and of {file_of[name]}")


def _placed(start: Path, told: str, name: str = "path") -> str:
    """As pathlib joins them, which takes long where there is nothing to join or to leave out."""
    path = local_text(told, name)
    if not start.name or "./" in path or "//" in path or path.endswith("/"):
        return str(start / path)
    return path if path.startswith("/") else f"{start}/{path}"


def _is_there(start: Path, told: str) -> bool:
    """Yes or no, whatever a cell or a line has in it: where it may be something else than a path, that is no error."""
    try:
        return os.path.isfile(_placed(start, told))
    except ValueError:
        return False


def _label(entry: Entry, classes: ClassNames, most: int, first_label: int) -> int:
    """That of a line, as a number."""
    try:
        label = int(entry.label) if DIGITS.fullmatch(entry.label) else classes.label(entry.label)
    except ValueError as error:
        raise ValueError(f"{entry.where}: {error}") from None
    if label is None and WHOLE.fullmatch(entry.label):
        label = int(entry.label.partition(".")[0])
    if label is None:
        told = f"the label must be a class index, got {entry.label!r}; {of_names(bool(classes))}"
        raise ValueError(f"{entry.where}: {told}")
    if not 0 <= label - first_label < most:
        raise ValueError(f"{entry.where}: {entry.path} has {of_no_class(label, first_label, most)}")
    return label


def _refuse_all_missing(path: Path, root: Path | None, files: Sequence[str]) -> None:
    """A few of them are looked for, all over the list."""
    tried = [files[len(files) * k // TRIED] for k in range(TRIED)] if len(files) > TRIED else files
    if any(map(os.path.lexists, tried)):
        return
    if "\\" in files[0]:
        raise ValueError(f"{path}: none of the files that were looked for is there, and their paths have backslashes, "
                         f"{files[0]!r} being the first: replace them by /")  # fmt: skip
    remedy = "root= is the folder where relative paths start"
    likely = (
        f"{remedy}, by default that of the list" if root is None else f"root={str(root)!r} is likely wrong: {remedy}"
    )
    missing = f"none of the {len(tried)} files that were looked for is there, the first being {files[0]}"
    raise ValueError(f"{path}: {missing}; {likely}")
