"""The label maps of TokenLabeling, arXiv 2104.10858: what a teacher saw at each place of every image of ImageNet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING

import numpy as np

from dalimix.stores.names import portable_names
from dalimix.stores.store import HeatmapStore
from dalimix.stores.writer import HeatmapWriter
from dalimix.support.lists import class_indices
from dalimix.support.numbers import is_whole
from dalimix.support.paths import local_path

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
        TypeError, ValueError: an argument is not as described; no such file; it holds something else than described,
            such as NaN or classes that are no whole numbers, or class indices of a dtype in which `label` is not exact.
        ModuleNotFoundError: torch is missing.
    """
    import torch

    if not is_whole(label) or label < 0:
        raise ValueError(f"label of {path} must be a whole number from 0, got {label!r}")
    scores, classes = _load(local_path(path))
    _check_numbers(path, scores.double(), classes.double())
    if label >= 2 / torch.finfo(classes.dtype).eps:  # from here on, several classes are one number
        raise ValueError(
            f"label is too large: {path} has {classes.dtype} class indices, which are not exact for class {label}"
        )
    kept: np.ndarray = torch.where(classes.double() == label, scores.float(), 0).sum(0).numpy()
    return kept


def _load(path: Path) -> Tensor:
    """[2, k, h, h] as it is in the file."""
    import torch

    if not path.is_file():
        what = "no file" if path.exists() else "missing"
        raise ValueError(f"{path} is {what}, expected a label map of TokenLabeling")
    try:
        maps = torch.load(path, weights_only=True, map_location="cpu")
    except UnpicklingError as error:
        raise ValueError(f"{path} holds something else than tensors, maybe code, which was not run") from error
    except Exception as error:  # a damaged file can raise anything
        raise ValueError(f"{path} is damaged: {type(error).__name__}: {error}") from error
    if not isinstance(maps, torch.Tensor) or not maps.is_floating_point():
        got = getattr(maps, "dtype", type(maps))
        raise ValueError(f"{path} must hold one floating tensor [2, k, h, h], got {got}")
    if not _is_whole_array(maps):
        raise ValueError(f"{path} must hold a tensor with all its numbers, got one of {maps.layout} on {maps.device}")
    if maps.ndim != 4 or maps.shape[0] != 2 or maps.shape[2] != maps.shape[3] or 0 in maps.shape:
        raise ValueError(f"{path} must hold a tensor [2, k, h, h], got {list(maps.shape)}")
    return maps.detach()


def _check_numbers(path: str | PathLike[str], scores: Tensor, classes: Tensor) -> None:
    if not (scores.isfinite().all() and classes.isfinite().all()):
        raise ValueError(f"{path} has NaN or infinite values, expected scores and class indices")
    wrong = classes[(classes != classes.round()) | (classes < 0)]
    if len(wrong):
        got = f"among the class indices, the second half of its tensor: got {wrong[0].item():g}"
        raise ValueError(f"{path} must have whole numbers from 0 {got}")


def _is_whole_array(maps: Tensor) -> bool:
    """Not sparse, nor without data, nor one whose strides make much of few bytes."""
    if str(maps.layout) != "torch.strided" or maps.device.type != "cpu":
        return False
    whole: bool = maps.numel() * maps.element_size() <= maps.untyped_storage().nbytes()
    return whole


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
        labels: the class of each; a list, an array or a tensor.
        path: the store to make; see `HeatmapWriter`.
        advance: called with the number of maps that are there more than before, for a progress bar.

    Returns:
        The store, of the files' own grid, in uint8, which keeps what is above 0.

    Raises:
        TypeError, ValueError: an argument is not as described; no such folder; as in `token_label_maps` and
            `HeatmapWriter`; or a map has another grid than the first.
        OSError: the disk is full or fails; it names the file.
        ModuleNotFoundError: torch is missing.
    """
    start, names, numbers = local_path(folder, "folder"), portable_names(files), class_indices("labels", labels)
    if len(numbers) != len(names) or not names:
        raise ValueError(f"files and labels must be lists of one length from 1, got {len(names)} and {len(numbers)}")
    if not callable(advance):
        raise TypeError(f"advance must be callable, got {advance!r:.100}")
    if not start.is_dir():
        raise ValueError(f"{start} is no folder, expected that of TokenLabeling's .pt files")
    places = [(start / name).with_suffix(".pt") for name in names]
    grid = len(token_label_maps(places[0], numbers[0]))
    model = f"TokenLabeling's maps in {start.resolve().name}"
    with HeatmapWriter(path, names, grid, model=model) as writer:
        advance(writer.done)
        while writer.done < len(writer):
            shard = slice(writer.done, writer.done + SHARD)
            maps = [_of_grid(grid, place, label) for place, label in zip(places[shard], numbers[shard], strict=True)]
            writer.append(np.stack(maps))
            advance(len(maps))
        return writer.finish()


def _of_grid(grid: int, place: Path, label: int) -> np.ndarray:
    heatmap = token_label_maps(place, label)
    if len(heatmap) != grid:
        raise ValueError(f"{place} has a map of {len(heatmap)} × {len(heatmap)} cells, but the first has {grid}")
    return heatmap
