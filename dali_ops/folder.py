"""An image folder: one sub-folder per class."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import numpy as np
from nvidia.dali import fn, pipeline_def

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".pnm", ".ppm", ".pgm", ".pbm", ".jp2", ".webp")


@dataclass(frozen=True)
class ImageFolder:
    """Files and labels below a root, in the order of torchvision's ImageFolder; hidden ones are left out.

    Attributes:
        files: paths, sorted within each class.
        labels: class number of every file.
        classes: names of the sub-folders, sorted; their places are the class numbers.
        root: the folder that was scanned; all files lie below it.
    """

    files: list[str]
    labels: list[int]
    classes: list[str]
    root: Path

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

    @property
    def names(self) -> list[str]:
        """`files` relative to the root, with forward slashes, as a `dalimix.heatmaps.HeatmapStore` lists them."""
        start = len(str(self.root / "x")) - 1  # not len(root) + 1: files below "." do not begin with it
        return [file[start:] for file in self.files]

    def shuffled(self, seed: int | None) -> ImageFolder:
        """The same files in another order: DALI's own shuffling of every epoch takes no seed."""
        order = list(range(len(self.files)))
        Random(seed).shuffle(order)
        return self.picked(order)

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


def first_unreadable(files: Sequence[str]) -> str | None:
    """The first file that DALI cannot decode; None if it can decode all. It decodes them one by one."""
    pipeline = _decode(batch_size=1, num_threads=1, device_id=None, prefetch_queue_depth=1)
    for file in files:
        try:
            pipeline.feed_input("encoded", [np.fromfile(file, np.uint8)])
            pipeline.run()
        except (RuntimeError, OSError):
            return file
    return None


@pipeline_def
def _decode() -> object:
    return fn.decoders.image(fn.external_source(name="encoded"))


def name_unreadable(error: RuntimeError, files: Sequence[str]) -> None:
    """Raise a ValueError with the file that a pipeline could not read or decode: DALI's `error` may not name it.

    All files are decoded anew to find it; the epoch is lost anyway.
    """
    if any(operator in str(error) for operator in ("decoders", "peek_image_shape", "readers")):
        file = first_unreadable(files)
        if file is not None:
            raise ValueError(f"{file} cannot be decoded as an image") from error
