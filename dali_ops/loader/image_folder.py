"""The loader of image folders."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

from dali_ops.loader.loader import Loader
from dali_ops.sources import ImageFolder, Source
from dalimix import Method
from dalimix.support.paths import local_path


class ImageFolderLoader(Loader):
    """A `Loader` of a folder with one sub-folder per class.

    Args:
        root: the folder; ``~`` and environment variables are replaced.
        method: as of `Loader`.
        batch_size: as of `Loader`.
        options: all others of `Loader`.

    Raises:
        TypeError: root is no path.
        ValueError: no such folder, no sub-folder, a class without an image; and as of `Loader`.
    """

    def __init__(
        self, root: str | PathLike[str], method: Method | None = None, batch_size: int = 256, **options: Any
    ) -> None:
        super().__init__(ImageFolder.scan(_folder(root)), method, batch_size, **options)


def _folder(root: Any) -> Path:
    if isinstance(root, Source):
        raise TypeError("root must be the path of a folder, got a source, which Loader takes")
    path = local_path(root, "root")
    if not path.is_dir():
        expected = "root must be a folder with a sub-folder for each class"
        raise ValueError(f"{expected}, but {str(path)!r} is not a folder{_remedy(path)}")
    return path


def _remedy(path: Path) -> str:
    """How to read what it is instead."""
    if ".tar" in str(path).lower():
        return ": for tar shards there is Loader(dali_ops.sources.WebDataset(path), …)"
    if "tfrecord" in str(path).lower():
        return ": for TFRecord files there is Loader(dali_ops.sources.TFRecord(path), …)"
    if path.is_file():
        return ": for a list of files there is Loader(dali_ops.sources.FileList.open(path), …)"
    return ""
