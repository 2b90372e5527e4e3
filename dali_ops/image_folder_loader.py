"""The loader of image folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dali_ops.loader import Loader
from dali_ops.sources import ImageFolder
from dalimix import Method


class ImageFolderLoader(Loader):
    """A `Loader` of a folder with one sub-folder per class.

    Args:
        root: the folder.
        method: as of `Loader`.
        batch_size: as of `Loader`.
        options: all others of `Loader`.

    Raises:
        ValueError: no such folder, no sub-folder, a class without an image; and as of `Loader`.
    """

    def __init__(self, root: str | Path, method: Method | None = None, batch_size: int = 256, **options: Any) -> None:
        super().__init__(ImageFolder.scan(root), method, batch_size, **options)
