"""An image folder: one sub-folder per class."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from dali_ops.sources.files import Files

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".pnm", ".ppm", ".pgm", ".pbm", ".jp2", ".webp")


@dataclass(frozen=True)
class ImageFolder(Files):
    """Files and labels below a root, in the order of torchvision's ImageFolder; hidden ones are left out.

    Attributes:
        files: paths, sorted within each class.
        labels: class number of every file.
        classes: names of the sub-folders, sorted; their places are the class numbers.
        root: the folder that was scanned; all files lie below it.
        names: `files` relative to the root, with forward slashes, as a `dalimix.heatmaps.HeatmapStore` lists them.
    """

    root: Path
    names: list[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        start = len(str(self.root / "x")) - 1  # not len(root) + 1: files below "." do not begin with it
        object.__setattr__(self, "names", [file[start:] for file in self.files])

    @classmethod
    def scan(cls, root: str | Path) -> ImageFolder:
        """List the images below `root`.

        Raises:
            ValueError: no such folder, no sub-folder, or a class without an image.
        """
        root = Path(root)
        if not root.is_dir():
            raise ValueError(f"{root} is not a folder")
        classes = sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not _hidden(entry.name))
        images = [_images(root / name) for name in classes]
        empty = [name for name, found in zip(classes, images, strict=True) if not found]
        if not classes or empty:
            where = f"no image in {root / empty[0]}" if empty else f"no class folders in {root}"
            raise ValueError(f"{where}: expected {root}/CLASS/IMAGE with {', '.join(EXTENSIONS)}")
        labels = [label for label, found in enumerate(images) for _ in found]
        return cls([file for found in images for file in found], labels, classes, root)

    def picked(self, numbers: Sequence[int]) -> ImageFolder:
        """Only the files of these numbers, in this order."""
        return replace(self, files=[self.files[k] for k in numbers], labels=[self.labels[k] for k in numbers])


def _images(folder: Path) -> list[str]:
    found = []
    for place, _, names in sorted(os.walk(folder, followlinks=True)):
        found += [os.path.join(place, name) for name in sorted(names) if _is_image(name)]
    return found


def _is_image(name: str) -> bool:
    return name.lower().endswith(EXTENSIONS) and not _hidden(name)


def _hidden(name: str) -> bool:
    """What systems and editors leave behind: ._x.jpg, .ipynb_checkpoints."""
    return name.startswith(".")
