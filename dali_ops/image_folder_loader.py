"""The loader of image folders."""

from __future__ import annotations

from os import PathLike, fspath
from pathlib import Path
from typing import Any

from dali_ops.loader import Loader
from dali_ops.sources import ImageFolder, Source
from dalimix import Method


class ImageFolderLoader(Loader):
    """A `Loader` of a folder with one sub-folder per class.

    Args:
        root: the folder.
        method: as of `Loader`.
        batch_size: as of `Loader`.
        options: all others of `Loader`.

    Raises:
        TypeError: root is no path.
        ValueError: no such folder, no sub-folder, a class without an image; and as of `Loader`.
    """

    def __init__(self, root: str | Path, method: Method | None = None, batch_size: int = 256, **options: Any) -> None:
        super().__init__(ImageFolder.scan(_folder(root)), method, batch_size, **options)


def _folder(root: Any) -> Path:
    if not isinstance(root, (str, PathLike)) or not isinstance(fspath(root), str):
        got = "a source, which Loader takes" if isinstance(root, Source) else repr(root)
        raise TypeError(f"root must be the path of a folder, got {got}")
    path = Path(root)
    if not fspath(root) or not path.is_dir():
        raise ValueError(f"root must be a folder with a sub-folder for each class, but {fspath(root)!r} is not a folder"
                         + _remedy(fspath(root)))  # fmt: skip
    return path


def _remedy(path: str) -> str:
    """How to read what it is instead."""
    if "://" in path:
        return ": only files that are here, or mounted, are read"
    if ".tar" in path.lower():
        return ": for tar shards there is Loader(dali_ops.sources.WebDataset(path), …)"
    if "tfrecord" in path.lower():
        return ": for TFRecord files there is Loader(dali_ops.sources.TFRecord(path), …)"
    if Path(path).is_file():
        return ": for a list of files there is Loader(dali_ops.sources.FileList.open(path), …)"
    return ""
