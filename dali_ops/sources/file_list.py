"""A list of files with their class numbers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import index
from pathlib import Path

from dali_ops.sources.files import Files
from dali_ops.sources.source import MOST_CLASSES


@dataclass(frozen=True)
class FileList(Files):
    """Images and class numbers as told, e.g. ``FileList(["a.jpg", "b.jpg"], [0, 1])``.

    Attributes:
        files: paths.
        labels: class number of every file, from 0.
        classes: names of the classes; empty: as many as the labels need, named by their numbers.
        names: of the files, as they were told; empty: the paths.
    """

    classes: list[str] = field(default_factory=list)
    names: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Raises ValueError: no files, another number of labels or names, a label that is no class."""
        if not len(self.files) or len(self.labels) != len(self.files):
            raise ValueError(f"labels has {len(self.labels)} entries but files has {len(self.files)}")
        files, labels = [os.fspath(file) for file in self.files], [index(label) for label in self.labels]
        names = list(self.names) if len(self.names) else files
        if len(names) != len(files):
            raise ValueError(f"names has {len(names)} entries but files has {len(files)}")
        classes = list(self.classes) or [str(k) for k in range(min(max(labels) + 1, MOST_CLASSES))]
        for name, value in {"files": files, "labels": labels, "classes": classes, "names": names}.items():
            object.__setattr__(self, name, value)
        wrong = [k for k, label in enumerate(self.labels) if not 0 <= label < len(self.classes)]
        if wrong:
            told = f"{self.files[wrong[0]]} has label {self.labels[wrong[0]]}"
            raise ValueError(f"{told}, but the {len(self.classes)} classes have the numbers from 0 on")

    @classmethod
    def open(cls, path: str | Path, root: str | Path | None = None, classes: Sequence[str] = ()) -> FileList:
        """Read a text file with a line ``PATH LABEL`` per image, as DALI's ``file_list`` and Caffe's lists are.

        Args:
            path: the text file, in UTF-8.
            root: where relative paths start; None: at the folder of the list.
            classes: as of the class.

        Raises:
            ValueError: a line is not like that, or as of the class.
            OSError: the list cannot be read.
        """
        path = Path(path)
        lines = path.read_text("utf-8").splitlines()
        pairs = [_pair(line, f"{path}, line {k}") for k, line in enumerate(lines, 1) if line.strip()]
        if not pairs:
            raise ValueError(f"{path} is empty: expected a line PATH LABEL for each image")
        names = [name for name, _ in pairs]
        files = [str((path.parent if root is None else Path(root)) / name) for name in names]
        return cls(files, [label for _, label in pairs], list(classes), names)


def _pair(line: str, where: str) -> tuple[str, int]:
    parts = line.strip().rsplit(maxsplit=1)
    if len(parts) < 2 or not parts[1].isdecimal():
        raise ValueError(f"{where}: expected PATH LABEL, got {line.strip()!r}")
    return parts[0], int(parts[1])
