"""The label maps of TokenLabeling, arXiv 2104.10858: what a teacher saw at each place of every image of ImageNet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING

import numpy as np

from dalimix.heatmaps.store import HeatmapStore
from dalimix.methods.base import is_whole

if TYPE_CHECKING:
    from torch import Tensor

SHARD = 1024  # maps


def token_label_maps(path: str | PathLike[str], label: int) -> np.ndarray:
    """Where one image looks like its class.

    TokenLabeling's scores are what its teacher put out, float16 logits before any softmax: no probabilities, and also
    below 0.

    Args:
        path: a .pt file of TokenLabeling, one floating tensor [2, k, h, h]: at each place, the teacher's k highest
            scores, and the classes that have them. Code in the file is never run.
        label: the image's class.

    Returns:
        float32 [h, h]: the score where `label` is one of the k classes, else 0, which is more than a score below 0.

    Raises:
        ValueError: no such file; it holds something else than described, or class numbers of a dtype in which `label`
            is not exact.
        ModuleNotFoundError: torch is missing.
    """
    import torch

    if not is_whole(label) or label < 0:
        raise ValueError(f"label of {path} must be a whole number from 0, got {label!r}")
    scores, classes = _load(Path(path))
    if label >= 2 / torch.finfo(classes.dtype).eps:  # from here on, several classes are one number
        raise ValueError(f"{path} has {classes.dtype} class numbers, which are not exact for class {label}")
    return torch.where(classes == label, scores, 0).sum(0, dtype=torch.float32).numpy()


def _load(path: Path) -> Tensor:
    """[2, k, h, h] as it is in the file."""
    import torch

    if not path.is_file():
        raise ValueError(f"{path} is missing, expected a label map of TokenLabeling")
    try:
        maps = torch.load(path, weights_only=True, map_location="cpu")
    except UnpicklingError as error:
        raise ValueError(f"{path} holds something else than tensors, maybe code, which was not run") from error
    except Exception as error:  # a damaged file can raise anything
        raise ValueError(f"{path} is damaged: {type(error).__name__}: {error}") from error
    if not isinstance(maps, torch.Tensor) or not maps.is_floating_point():
        got = getattr(maps, "dtype", type(maps))
        raise ValueError(f"{path} must hold one floating tensor [2, k, h, h], got {got}")
    if maps.ndim != 4 or maps.shape[0] != 2 or maps.shape[2] != maps.shape[3] or 0 in maps.shape:
        raise ValueError(f"{path} must hold a tensor [2, k, h, h], got {list(maps.shape)}")
    return maps


def import_token_labels(
    folder: str | PathLike[str],
    files: Sequence[str],
    labels: Sequence[int],
    path: str | PathLike[str],
    advance: Callable[[int], object] = lambda count: None,
) -> HeatmapStore:
    """Make a store of TokenLabeling's maps. When it is stopped, the same call goes on with it.

    Args:
        folder: where the .pt files lie; that of ``class/image.JPEG`` is ``folder/class/image.pt``.
        files: the images' paths relative to the data set's root, with forward slashes.
        labels: the class of each.
        path: the store to make; see `HeatmapStore.create`.
        advance: called with the number of maps that are there more than before, for a progress bar.

    Returns:
        The store, of the files' own grid, in uint8, which keeps what is above 0.

    Raises:
        ValueError: as of `token_label_maps` and `HeatmapStore.create`, or a map has another grid than the first.
        ModuleNotFoundError: torch is missing.
    """
    if len(labels) != len(files) or len(files) == 0:
        raise ValueError(f"files and labels must be lists of one length from 1, got {len(files)} and {len(labels)}")
    places = [(Path(folder) / file).with_suffix(".pt") for file in files]
    grid = len(token_label_maps(places[0], labels[0]))
    model = f"TokenLabeling's maps in {Path(folder).resolve().name}"
    with HeatmapStore.create(path, files, grid, model=model) as writer:
        advance(writer.done)
        while writer.done < len(writer):
            shard = slice(writer.done, writer.done + SHARD)
            maps = [_of_grid(grid, place, label) for place, label in zip(places[shard], labels[shard], strict=True)]
            writer.append(np.stack(maps))
            advance(len(maps))
        return writer.finish()


def _of_grid(grid: int, place: Path, label: int) -> np.ndarray:
    heatmap = token_label_maps(place, label)
    if len(heatmap) != grid:
        raise ValueError(f"{place} has a map of {len(heatmap)} × {len(heatmap)} cells, but the first has {grid}")
    return heatmap
