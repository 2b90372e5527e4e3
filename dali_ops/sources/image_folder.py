"""An image folder: one sub-folder per class."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from dali_ops.sources import folder_scan
from dali_ops.sources.callers import warn_caller
from dali_ops.sources.files import Files
from dalimix.support.paths import local_path


@dataclass(frozen=True)
class ImageFolder(Files):
    """Files and labels below a root, in the order of torchvision's ImageFolder; `scan` finds them.

    Hidden files and folders are left out, also within a class, and so is what systems leave behind, such as Thumbs.db.

    Attributes:
        files: paths, sorted within each class.
        labels: class index of every file.
        classes: names of the sub-folders, sorted; their places are the class indices.
        root: the folder that was scanned; all files lie below it.
        names: `files` relative to the root, with forward slashes, as a `dalimix.stores.HeatmapStore` lists them.

    Examples:
        >>> source = ImageFolder.scan(folder)
        >>> len(source), source.classes, source.names[4]
        (12, ['cat', 'dog', 'fox'], 'dog/0.jpg')
    """

    root: Path
    names: list[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Raises TypeError or ValueError: an attribute is not as described, or there are no files."""
        object.__setattr__(self, "root", local_path(self.root, "root"))
        super().__post_init__()
        start = len(str(self.root / "x")) - 1  # not len(root) + 1: files below "." do not begin with it
        above = str(self.root / "x")[:-1]
        outside = next((file for file in self.files if not file.startswith(above)), None)
        if outside is not None:
            raise ValueError(f"files must lie below root, which is {self.root}, got {outside!r}")
        object.__setattr__(self, "names", [file[start:] for file in self.files])

    @classmethod
    def scan(cls, root: str | os.PathLike[str]) -> ImageFolder:
        """List the images below `root`, at any depth of its class folders.

        Links are followed, and every folder is read once per class, however many lead to it. What is left out, and is
        not hidden, is told in one warning: files without the extension of an image, broken links, links that lead back,
        images beside the class folders.

        Raises:
            TypeError: `root` is no path.
            ValueError: no such folder, no sub-folder, a class without an image, or sub-folders that are parts of a data
                set, train and val, instead of classes.
            OSError: a folder cannot be read.
        """
        root = local_path(root, "root")
        if not root.is_dir():
            raise ValueError(f"{root} is not a folder")
        left = folder_scan.LeftOut(root)
        classes, above = folder_scan.class_folders(root, left), folder_scan.identities_above(root)
        images = [folder_scan.images_below(root / name, above, left) for name in classes]
        _refuse_empty(root, classes, images, left)
        _tell(root, classes, left)
        labels = [label for label, found in enumerate(images) for _ in found]
        return cls([file for found in images for file in found], labels, classes, root)

    @cached_property
    def _looked_at(self) -> np.ndarray:
        """All of them, by `scan`."""
        return np.ones(len(self.files), bool)

    def picked(self, numbers: Sequence[int]) -> ImageFolder:
        """Only the files of these numbers, in this order.

        Raises:
            TypeError, ValueError: `numbers` are not from 0 to N - 1, or none.
        """
        asked = self._asked(numbers).tolist()
        if not asked:
            raise ValueError("numbers must be those of one image at least, got none")
        return replace(self, files=[self.files[k] for k in asked], labels=[self.labels[k] for k in asked])


def _refuse_empty(root: Path, classes: list[str], images: list[list[str]], left: folder_scan.LeftOut) -> None:
    empty = [name for name, found in zip(classes, images, strict=True) if not found]
    if classes and not empty:
        return
    where = f"no image in {root / empty[0]}" if empty else f"no class folders in {root}"
    told = f"; {left.told()}" if left.told() else ""
    raise ValueError(f"{where}: expected {root}/CLASS/IMAGE with {', '.join(folder_scan.EXTENSIONS)}{told}")


def _tell(root: Path, classes: list[str], left: folder_scan.LeftOut) -> None:
    """What may be a mistake; once."""
    told = left.told()
    if told:
        warn_caller(told)
    if len(classes) == 1 and folder_scan.holds_folders_only(root / classes[0]):
        name = classes[0]
        warn_caller(f"{root} has one class, {name!r}: if it has the class folders, give {root / name}")
