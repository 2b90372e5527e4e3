"""The loader of image folders."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

from dali_ops.keywords import answering
from dali_ops.loader.loader import Loader
from dali_ops.loader.runtime import Runtime
from dali_ops.loader.transforms import Eval, Train
from dali_ops.operators.targets import Targets
from dali_ops.samplers.sampler import Sampler
from dali_ops.sources import ImageFolder, Source
from dalimix import Method
from dalimix.heatmaps import HeatmapProvider
from dalimix.stores import HeatmapStore
from dalimix.support.paths import local_path


class ImageFolderLoader(Loader):
    """A `Loader` of a folder with one sub-folder per class.

    Args:
        root: the folder; ``~`` and environment variables are replaced.
        method, batch_size, transform, targets, heatmaps, heatmap_labels, keep_info, sampler, drop_last, skip_corrupt,
            rank, world_size, runtime, seed: as in `Loader`.

    Raises:
        TypeError: root is not a path.
        ValueError: there is no such folder, it has no sub-folder, or a class has no image; and as in `Loader`.

    Examples:
        >>> loader = ImageFolderLoader(folder, CutMix(alpha=1.0), batch_size=4, transform=Train(32), seed=0)
        >>> loader, loader.classes
        (<ImageFolderLoader: 3 batches of 4 of 12 images>, ['cat', 'dog', 'fox'])
        >>> for images, targets in loader:
        ...     loss = torch.nn.functional.cross_entropy(cnn(images), targets)
        >>> loader.close()
    """

    @answering
    def __init__(
        self,
        root: str | PathLike[str],
        method: Method | None = None,
        batch_size: int = 256,
        *,
        transform: Train | Eval = Train(),
        targets: Targets = Targets(),
        heatmaps: HeatmapProvider | HeatmapStore | None = None,
        heatmap_labels: bool = False,
        keep_info: bool = False,
        sampler: Sampler | None = None,
        drop_last: bool | None = None,
        skip_corrupt: bool = False,
        rank: int | None = None,
        world_size: int | None = None,
        runtime: Runtime = Runtime(),
        seed: int | None = -1,
    ) -> None:
        super().__init__(
            ImageFolder.scan(_folder(root)), method, batch_size, transform=transform, targets=targets,
            heatmaps=heatmaps, heatmap_labels=heatmap_labels, keep_info=keep_info, sampler=sampler,
            drop_last=drop_last, skip_corrupt=skip_corrupt, rank=rank, world_size=world_size, runtime=runtime,
            seed=seed,
        )  # fmt: skip


def _folder(root: Any) -> Path:
    if isinstance(root, Source):
        raise TypeError("root must be the path of a folder, got a source, which Loader takes")
    path = local_path(root, "root")
    if not path.is_dir():
        expected = "root must be a folder with a sub-folder for each class"
        raise ValueError(f"{expected}, but {str(path)!r} is not a folder{_remedy(path)}")
    return path


def _remedy(path: Path) -> str:
    """How to read what the path is instead."""
    if ".tar" in str(path).lower():
        return ": for tar shards there is Loader(dali_ops.sources.WebDataset(path), …)"
    if "tfrecord" in str(path).lower():
        return ": for TFRecord files there is Loader(dali_ops.sources.TFRecord(path), …)"
    if path.is_file():
        return ": for a list of files there is Loader(dali_ops.sources.FileList.open(path), …)"
    return ""
