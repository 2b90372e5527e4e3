"""Making a store of heatmaps: every image of a folder through a model, once."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from nvidia.dali import fn, pipeline_def

from dali_ops.device import default_id, default_threads, usable_device
from dali_ops.feed import Feed
from dali_ops.model_heatmaps import model_heatmaps
from dali_ops.order import Order
from dali_ops.reading import whole_image
from dali_ops.sources import ImageFolder
from dali_ops.sources.unreadable import refuse_unreadable
from dalimix import checks
from dalimix.heatmaps import HeatmapProvider, HeatmapStore, HeatmapWriter
from dalimix.heatmaps.store_writer import check_finite
from dalimix.paths import local_path
from dalimix.reference import resample_heatmaps

MOST = {"size": 1 << 14, "batch_size": 1 << 16, "num_threads": 1 << 10}  # beyond it DALI fails without a word
SHARD = 1024  # maps, about: what a killed run loses at most


def build_store(
    folder: ImageFolder,
    provider: HeatmapProvider,
    path: str | PathLike[str],
    *,
    grid: int,
    model: str,
    dtype: str = "uint8",
    labelled: bool = False,
    device: str = "cpu",
    size: int = 224,
    batch_size: int = 64,
    num_threads: int | None = None,
    advance: Callable[[int], object] = lambda count: None,
) -> HeatmapStore:
    """Make a store of the heatmaps of all images of a folder. When it is stopped, the same call goes on with it.

    A call that goes on works on the very batches that it would have worked on otherwise, if its `batch_size` is the
    same; on a CPU the store then is the same byte for byte. A call that fails or is interrupted keeps all whole batches
    that it has finished; one that is killed may lose some 1024 maps.

    Args:
        folder: the images; the store lists them as ``folder.names``.
        provider: ``provider(images)``, or with `labelled` ``provider(images, labels)``, as of
            `dali_ops.model_heatmaps`; images are RGB, uint8 [B, 3, size, size]; labels int64 [B], class numbers of the
            folder.
        path: the store to make, outside of the image folder; see `HeatmapStore.create`.
        grid: cells along each side of the maps that are kept; the provider's are averaged or interpolated to it.
        model: what makes the maps, in words.
        dtype: ``"uint8"`` or ``"float16"``, as of `HeatmapStore.create`.
        labelled: hand the provider the class numbers.
        device: ``"cpu"`` or ``"gpu"``, where the provider's model is.
        size: side in pixels to which whole images are brought.
        batch_size: images per batch.
        num_threads: of DALI on the CPU; None: as many as there are cores, 8 at most.
        advance: called with the number of maps that there are more than before, for a progress bar: first with those
            of earlier calls, then after every batch.

    Returns:
        The store.

    Raises:
        TypeError, ValueError: an argument is not as described, or as of `HeatmapStore.create`; an image cannot be
            decoded, or its map is not finite, by name; the provider failed, or made something that is no map of the
            images, with what it said.
        ModuleNotFoundError: torch is missing, or CuPy for the GPU.
    """
    threads = default_threads() if num_threads is None else num_threads
    size, batch_size, threads = _counts(size=size, batch_size=batch_size, num_threads=threads)
    _check_kinds(folder, provider, labelled, advance)
    check_outside(path, folder.root)
    device = usable_device(device)
    runtime = {"batch_size": batch_size, "num_threads": threads, "device_id": default_id(device)}
    with HeatmapStore.create(path, folder.names, grid, model=model, dtype=dtype) as writer:
        advance(writer.done)
        if writer.done < len(writer):
            start = writer.done
            missing = folder.picked(range(start, len(folder)))
            feed = Feed(missing, Order(len(missing), batch_size))
            pipeline = _pipeline(feed, provider, labelled, size, device, **runtime)
            batches = _batches(pipeline, folder, start, batch_size)
            _append(writer, batches, grid, max(1, SHARD // batch_size), advance)
        return writer.finish()


def _counts(**counts: int) -> list[int]:
    """As Python's own numbers, which NumPy's small ones are not in sums."""
    checks.counts(**counts)
    for name, value in counts.items():
        if value > MOST[name]:
            raise ValueError(f"{name} must be {MOST[name]} at most, got {value}")
    return [int(value) for value in counts.values()]


def _check_kinds(folder: object, provider: object, labelled: object, advance: object) -> None:
    if not isinstance(folder, ImageFolder):
        raise TypeError(f"folder must be an ImageFolder, as ImageFolder.scan makes it, got {folder!r:.100}")
    if not callable(provider):
        raise TypeError(f"provider must be callable, as those of dalimix.heatmaps, got {provider!r:.100}")
    checks.flag("labelled", labelled)
    if not callable(advance):
        raise TypeError(f"advance must be callable, got {advance!r:.100}")


def check_outside(path: str | PathLike[str], root: Path) -> None:
    """Refuse a store inside an image folder: the next scan would find one class more, and without images.

    Raises:
        ValueError: `path` is `root` or lies in it, also by way of links.
    """
    if Path(os.path.realpath(local_path(path))).is_relative_to(os.path.realpath(root)):
        raise ValueError(
            f"the store must lie outside of the image folder {root}, whose folders are classes; got {path}"
        )


@pipeline_def
def _pipeline(feed: Feed, provider: HeatmapProvider, labelled: bool, size: int, device: str) -> Any:
    """Heatmaps [h, w] of the images.

    Images are squeezed into the square, never cropped: stored maps are cut to crops that are given in shares of the
    whole image, so a map must show all of it, from edge to edge.
    """
    encoded, labels = feed.read(feed.source.class_numbers)
    images = fn.resize(whole_image(encoded, device), size=[size, size])
    return model_heatmaps(images, provider, labels if labelled else None, device=device)


def _batches(pipeline: Any, folder: ImageFolder, start: int, batch_size: int) -> Iterator[tuple[int, np.ndarray]]:
    """The place of every batch's first image in the folder, and the batch's heatmaps, float32 [n, h, w]."""
    for first in range(start, len(folder), batch_size):
        try:
            (heatmaps,) = pipeline.run()
        except RuntimeError as error:
            batch = range(first, min(first + batch_size, len(folder)))
            _name_failure(error, [folder.files[k] for k in batch])
            refuse_unreadable(error, folder, batch, pipeline.device_id)
            raise
        yield first, heatmaps.as_cpu().as_array()


def _name_failure(error: RuntimeError, batch: list[str]) -> None:
    """Raise a ValueError with what the provider said: DALI's `error` has it in the middle of a long text."""
    said = re.search(r"^encountered:\n\n(.*?)\n\nAt:$", str(error), re.DOTALL | re.MULTILINE)
    if said:
        reason = " ".join(said[1].split())
        raise ValueError(f"no heatmaps of the {len(batch)} images from {batch[0]} on: {reason}") from error


def _append(
    writer: HeatmapWriter,
    batches: Iterator[tuple[int, np.ndarray]],
    grid: int,
    per_shard: int,
    advance: Callable[[int], object],
) -> None:
    """Write the batches, several at a time because every write waits for the disk; whatever happens, all of them."""
    made: dict[int, np.ndarray] = {}
    try:
        for first, heatmaps in batches:
            maps = resample_heatmaps(heatmaps, grid)
            check_finite(maps, writer.files, first)  # before the writer would refuse the whole shard
            made[first] = maps
            advance(len(heatmaps))
            if len(made) == per_shard:
                _write(writer, made)
    finally:
        _write(writer, made)


def _write(writer: HeatmapWriter, made: dict[int, np.ndarray]) -> None:
    """What is written already is passed over: an interrupt may have come after the write and before the clearing."""
    new = [heatmaps for first, heatmaps in made.items() if first >= writer.done]
    if new:
        writer.append(np.concatenate(new))
    made.clear()
