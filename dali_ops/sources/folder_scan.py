"""Going through an image folder: what is an image, what is a class, and what is neither."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".pnm", ".ppm", ".pgm", ".pbm", ".jp2", ".webp")
SPLITS = {"train", "training", "val", "valid", "validation", "test", "testing"}
# what systems leave behind, next to what begins with a dot: ._x.jpg, .DS_Store, .ipynb_checkpoints
SYSTEM = {"thumbs.db", "desktop.ini", "lost+found", "__macosx", "@eadir", "$recycle.bin", "system volume information"}
HIDDEN = "hidden file or folder", "hidden files or folders"
EXTENSION = "file without the extension of an image", "files without the extension of an image"
BROKEN = "broken link", "broken links"
READ = "link to a folder that is read already", "links to folders that are read already"
SPECIAL = "pipe, socket or device", "pipes, sockets or devices"
LOOSE = "image beside the class folders", "images beside the class folders"
Reason = tuple[str, str]  # for one, for several
Identity = tuple[int, int]


@dataclass
class LeftOut:
    """How many things below `root` are no training data, why, and the first of each kind."""

    root: Path
    counts: dict[Reason, int] = field(default_factory=dict)
    examples: dict[Reason, str] = field(default_factory=dict)

    def add(self, reason: Reason, place: str) -> None:
        self.counts[reason] = self.counts.get(reason, 0) + 1
        self.examples[reason] = min(place, self.examples.get(reason, place))

    def told(self) -> str:
        """A sentence; empty if there is nothing but what is hidden, of which nobody wants to hear."""
        if not self.counts.keys() - {HIDDEN}:
            return ""
        return f"{self.root}: left out are {'; '.join(map(self._of, sorted(self.counts)))}"

    def _of(self, reason: Reason) -> str:
        count, example = self.counts[reason], os.path.relpath(self.examples[reason], self.root)
        return f"{count} {reason[count > 1]}, such as {example!r}"


def class_folders(root: Path, left: LeftOut) -> list[str]:
    """Names of the folders in `root`, sorted. Those that lead back to it are left out.

    Raises:
        ValueError: they are parts of a data set: train, val, test.
        OSError: the folder cannot be read.
    """
    folders: list[str] = []
    images: list[str] = []
    _sort_out(str(root), folders, folders, images, LeftOut(root))
    for image in images:
        left.add(LOOSE, os.path.join(root, image))
    above = identities_above(root)
    loops = [folder for folder in folders if _identity(folder) in above]
    for loop in loops:
        left.add(READ, loop)
    classes = sorted(os.path.basename(folder) for folder in folders if folder not in loops)
    _refuse_splits(root, classes)
    return classes


def _refuse_splits(root: Path, classes: list[str]) -> None:
    splits = [name for name in classes if name.lower() in SPLITS]
    if len(splits) > 1 or any(holds_folders_only(root / name) for name in splits):
        raise ValueError(
            f"{root} has the folders {', '.join(splits)}, which are parts of a data set, not classes: "
            f"give one of them, such as {root / splits[0]}, with a folder for each class"
        )


def holds_folders_only(folder: Path) -> bool:
    """Whether there are folders in it, and no image beside them."""
    folders: list[str] = []
    images: list[str] = []
    _sort_out(str(folder), folders, folders, images, LeftOut(folder))
    return bool(folders) and not images


def images_below(folder: Path, above: set[Identity], left: LeftOut) -> list[str]:
    """Paths of the images at any depth, in the order of torchvision's ImageFolder.

    Every real folder is read once, whatever links lead to it, and by its own name if it has one here.

    Args:
        folder: of a class.
        above: folders that are not to be read: that of all classes, and those in which it lies.
        left: gets what is no image.

    Raises:
        OSError: a folder cannot be read.
    """
    found: dict[str, list[str]] = {}
    seen = above | identities_above(Path(os.path.realpath(folder)).parent)
    folders, links = [str(folder)], list[str]()
    while folders or links:
        links.sort(reverse=True)
        place = folders.pop() if folders else links.pop()
        identity = _identity(place)
        if identity in seen:
            left.add(READ, place)
            continue
        seen.add(identity)
        _sort_out(place, folders, links, found.setdefault(place, []), left)
    return [os.path.join(place, name) for place in sorted(found) for name in sorted(found[place])]


def _sort_out(place: str, folders: list[str], links: list[str], images: list[str], left: LeftOut) -> None:
    """Add paths of the folders in a folder and of the links to some, and names of images."""
    with os.scandir(place) as entries:
        for entry in entries:
            if is_hidden(entry.name):
                left.add(HIDDEN, entry.path)
            elif _answer(entry.is_dir):
                (links if entry.is_symlink() else folders).append(entry.path)
            elif not _answer(entry.is_file):
                left.add(BROKEN if entry.is_symlink() else SPECIAL, entry.path)
            elif entry.name.lower().endswith(EXTENSIONS):
                images.append(entry.name)
            else:
                left.add(EXTENSION, entry.path)


def _answer(question: Callable[[], bool]) -> bool:
    """Of an entry; False for a link to itself."""
    try:
        return question()
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        return False


def is_hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in SYSTEM


def identities_above(folder: Path) -> set[Identity]:
    """Of a folder and of all in which it lies."""
    real = os.path.realpath(folder)
    return {_identity(place) for place in (real, *map(str, Path(real).parents))}


def _identity(folder: str) -> Identity:
    facts = os.stat(folder)
    return facts.st_dev, facts.st_ino
