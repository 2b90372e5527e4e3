"""Data sets of one file per image."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from nvidia.dali import fn
from nvidia.dali.data_node import DataNode

from dali_ops.sources.class_names import ClassNames, of_names
from dali_ops.sources.first_label import of_no_class
from dali_ops.sources.source import MOST_CLASSES, Source
from dalimix.support.lists import class_indices, listed, texts
from dalimix.support.paths import local_texts


@dataclass(frozen=True)
class Files(Source):
    """Only paths go through Python; the files are read in the pipeline, in DALI's threads.

    Attributes:
        files: paths.
        labels: class index of every file.
        classes: names of the classes; their places are the class indices.
    """

    files: Sequence[str]
    labels: Sequence[int]
    classes: list[str]

    def __post_init__(self) -> None:
        """Raises TypeError or ValueError: no files, another number of labels, a label that is no class."""
        self._bring_to_one_form()

    def _bring_to_one_form(self, first_label: int = 0) -> None:
        """Lists of texts and of class indices from 0, from labels of which `first_label` is that of class 0."""
        files = local_texts("files", self.files)
        classes = texts("classes", self.classes)
        told = class_indices("labels", _numbered(self.labels, classes, first_label))
        labels = [label - first_label for label in told] if first_label else told
        if not files:
            raise ValueError("files must be one path at least, got none")
        if len(labels) != len(files):
            raise ValueError(f"labels has {len(labels)} entries but files has {len(files)}")
        classes = classes or [str(k) for k in range(min(max(labels) + 1, MOST_CLASSES))]
        wrong = next((k for k, label in enumerate(labels) if not 0 <= label < len(classes)), None)
        if wrong is not None:
            what = of_no_class(told[wrong], first_label, len(classes))
            raise ValueError(f"labels must be of classes: {files[wrong]} has {what}")
        for name, value in {"files": files, "labels": labels, "classes": classes}.items():
            object.__setattr__(self, name, value)

    def fetch(self, numbers: np.ndarray) -> np.ndarray:
        """uint8 [n, longest]: paths, filled up with zeros; one array goes to DALI at a seventh of the cost of many."""
        paths = np.array([os.fsencode(path) for path in self._read_in_the_pipeline(self._asked(numbers))], np.bytes_)
        return paths.view(np.uint8).reshape(len(paths), paths.itemsize)

    def _read_in_the_pipeline(self, numbers: np.ndarray) -> list[str]:
        """Paths, empty for what is no file: DALI would wait for a pipe for ever, but says at once that "" is none.

        Each is looked at once, when it is asked for first: on disks of a network that takes its time.
        """
        for k in numbers[~self._looked_at[numbers]]:
            self._looked_at[k] = not _is_special(self.files[k])
        looked_at = self._looked_at[numbers].tolist()
        return [self.files[k] if is_file else "" for k, is_file in zip(numbers, looked_at, strict=True)]

    @cached_property
    def _looked_at(self) -> np.ndarray:
        """bool [N]: what is known to be no pipe, socket or device."""
        return np.zeros(len(self.files), bool)

    def encoded(self, fetched: DataNode) -> DataNode:
        return fn.io.file.read(fetched)

    def location(self, number: int) -> str:
        return self.files[self._asked_one(number)]

    def read(self, number: int) -> np.ndarray:
        path = self.files[self._asked_one(number)]
        if _is_special(path):
            raise OSError(errno.ENXIO, "is no regular file", path)
        return np.fromfile(path, np.uint8)


def _is_special(path: str) -> bool:
    """Whether it is a pipe, socket or device, of which no end can be told; not if it is missing."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _numbered(labels: Sequence[int], classes: list[str], first_label: int) -> list[int]:
    """Labels that are names become the numbers of these classes, from `first_label` on; all else stays as it is."""
    given = listed("labels", labels, "class indices")
    if not any(isinstance(label, str) for label in given):
        return given
    names = ClassNames(classes, first_label)
    return [_number(k, label, names) for k, label in enumerate(given)]


def _number(k: int, label: object, names: ClassNames) -> int:
    try:
        number = names.label(label) if isinstance(label, str) else None
    except ValueError as error:
        raise ValueError(f"labels[{k}] is {label!r}: {error}") from None
    if number is None:
        raise ValueError(f"labels are names, and one is {label!r}: {of_names(bool(names))}")
    return number
