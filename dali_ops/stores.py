"""Making a store of heatmaps: every image of a folder through a model, once."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from nvidia.dali import fn

from dali_ops.decorators import pipeline_of
from dali_ops.device import default_id, default_threads, usable_device
from dali_ops.loader.reading.decoding import whole_image
from dali_ops.loader.reading.feed import Feed
from dali_ops.loader.reading.order import Order
from dali_ops.loader.reading.unreadable import FAILURES, Failure
from dali_ops.operators.model_heatmaps import model_heatmaps
from dali_ops.sources import ImageFolder
from dalimix import checks
from dalimix.cpu import resample_heatmaps
from dalimix.heatmaps import HeatmapProvider
from dalimix.stores import HeatmapStore, HeatmapWriter
from dalimix.stores.maps import check_finite
from dalimix.support.paths import local_path

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
    skip_corrupt: bool = False,
    advance: Callable[[int], object] = lambda count: None,
) -> HeatmapStore:
    """Make a store of the heatmaps of all images of a folder. When it is stopped, the same call goes on with it.

    A call that goes on works on the very batches that it would have worked on otherwise, if its `batch_size` is the
    same; on a CPU the store then is the same byte for byte. A call that fails or is interrupted keeps all whole batches
    that it has finished; one that is killed may lose some 1024 maps.

    Args:
        folder: the images; the store lists them as ``folder.names``.
        provider: ``provider(images)``, or with `labelled` ``provider(images, labels)``, as in
            `dali_ops.model_heatmaps`; images are RGB, uint8 [B, 3, size, size]; labels int64 [B], class indices of the
            folder.
        path: the store to make, outside of the image folder; see `HeatmapWriter`.
        grid: cells along each side of the maps that are kept; the provider's are averaged or interpolated to it.
        model: what makes the maps, in words.
        dtype: ``"uint8"`` or ``"float16"``, as in `HeatmapWriter`.
        labelled: hand the provider the class indices.
        device: ``"cpu"`` or ``"gpu"``, where the provider's model is.
        size: side in pixels to which whole images are brought.
        batch_size: images per batch.
        num_threads: of DALI on the CPU; None: as many as there are cores, 8 at most.
        skip_corrupt: leave out images that cannot be read or decoded, instead of an error. The store has no map
            of them, and says so: `HeatmapStore.left_out`. A loader leaves them out, too, with its own `skip_corrupt`.
        advance: called with the number of images that are done more than before, for a progress bar: first with those
            of earlier calls, then after every batch.

    Returns:
        The store.

    Raises:
        TypeError, ValueError: an argument is not as described, or as in `HeatmapWriter`; an image cannot be
            decoded (with `skip_corrupt`: none can), or its map is not finite, by name; the provider failed, or made
            something that is no map of the images, with what it said.
        ModuleNotFoundError: torch is missing, or CuPy for the GPU.
    """
    threads = default_threads() if num_threads is None else num_threads
    given = {"size": size, "batch_size": batch_size, "num_threads": threads}
    size, batch_size, threads = (checks.count(name, value, MOST[name]) for name, value in given.items())
    labelled, skip_corrupt = checks.flag("labelled", labelled), checks.flag("skip_corrupt", skip_corrupt)
    checks.kind("folder", folder, ImageFolder, "an ImageFolder, as ImageFolder.scan makes it")
    checks.kind("provider", provider, Callable, "callable, as those of dalimix.heatmaps")
    checks.kind("advance", advance, Callable, "callable")
    check_outside(path, folder.root)
    device = usable_device(device)
    runtime = {"batch_size": batch_size, "num_threads": threads, "device_id": default_id(device)}
    with HeatmapWriter(path, folder.names, grid, model=model, dtype=dtype) as writer:
        start = _start(writer, folder.names, batch_size)
        advance(start)
        if writer.done < len(writer):
            missing = folder.picked(range(start, len(folder)))
            of_model = {"provider": provider, "labelled": labelled, "size": size, "device": device}
            batches = _Batches(writer, missing, batch_size, partial(_pipeline, **of_model, **runtime), skip_corrupt)
            _append(writer, batches, grid, max(1, SHARD // batch_size), advance)
        return writer.finish()


def _start(writer: HeatmapWriter, names: Sequence[str], batch_size: int) -> int:
    """The number of the next image. Where some were left out, it is that with which a batch begins, if there is one."""
    if writer.done == len(writer):
        return len(names)
    after = names.index(writer.files[writer.done - 1]) + 1 if writer.done else 0
    aligned = -(-after // batch_size) * batch_size
    return aligned if aligned <= names.index(writer.files[writer.done]) else after


def check_outside(path: str | PathLike[str], root: Path, what: str = "the store") -> None:
    """Refuse results inside an image folder: the next scan would find one class more, or take drawings for images.

    Raises:
        ValueError: `path` is `root` or lies in it, also by way of links.
    """
    if Path(os.path.realpath(local_path(path))).is_relative_to(os.path.realpath(root)):
        raise ValueError(f"{what} must lie outside of the image folder {root}, whose folders are classes; got {path}")


@pipeline_of
def _pipeline(feed: Feed, provider: HeatmapProvider, labelled: bool, size: int, device: str) -> Any:
    """Heatmaps [h, w] of the images.

    Images are squeezed into the square, never cropped: stored maps are cut to crops that are given in shares of the
    whole image, so a map must show all of it, from edge to edge.
    """
    encoded, labels = feed.read(feed.source.class_indices)
    images = fn.resize(whole_image(encoded, device), size=[size, size])
    return model_heatmaps(images, provider, labels if labelled else None, device=device)


class _Batches:
    """The heatmaps of every batch of the images that are missing.

    For each batch: the place of its first map among the writer's files, the heatmaps, float32 [n, h, w], and how many
    images it was to be of.
    """

    def __init__(
        self, writer: HeatmapWriter, missing: ImageFolder, batch_size: int, make: Callable[[Feed], Any], skip: bool
    ) -> None:
        left_out = set(writer.left_out)
        skipped = frozenset(k for k, name in enumerate(missing.names) if name in left_out)
        self._feed = Feed(missing, Order(len(missing), batch_size), skipped=skipped)
        self._writer, self._folder, self._make, self._skip = writer, missing, make, skip
        self._pipeline: Any = None

    def __iter__(self) -> Iterator[tuple[int, np.ndarray, int]]:
        order, first = self._feed.order, self._writer.done
        for step in range(order.steps):
            heatmaps = self._next(step)
            yield first, heatmaps, len(order.numbers(0, step))
            first += len(heatmaps)

    def _next(self, step: int) -> np.ndarray:
        """Float32 [n, h, w]; [0, 1, 1] where no image of the batch can be decoded."""
        while len(self._feed.skipped) < len(self._folder):
            self._pipeline = self._pipeline or self._make(self._feed.from_here(0, step))
            try:
                (heatmaps,) = self._pipeline.run()
            except FAILURES as error:
                self._leave_out(error, step)
            else:
                return np.array(heatmaps.as_cpu().as_array()[: len(self._feed.numbers(0, step))])
        return np.zeros((0, 1, 1), np.float32)

    def _leave_out(self, error: Failure, step: int) -> None:
        """Go on without the images at which the pipeline has failed: it is made anew.

        Raises:
            ValueError: no image is to blame, or no decodable one is left.
        """
        _name_failure(error, [self._folder.files[k] for k in self._feed.asked(0, step)])
        feed = self._feed.without_unreadable(error, 0, step, self._pipeline.device_id, self._skip)
        corrupt = sorted(feed.skipped - self._feed.skipped)
        if len(corrupt) == len(self._writer):
            raise ValueError(f"none of the images can be decoded, such as {self._folder.files[corrupt[0]]}") from error
        self._writer.leave_out([self._folder.names[k] for k in corrupt])
        self._feed, self._pipeline = feed, None


def _name_failure(error: Failure, batch: list[str]) -> None:
    """Raise a ValueError with what the provider said: DALI's `error` has it in the middle of a long text."""
    said = re.search(r"^encountered:\n\n(.*?)\n\nAt:$", str(error), re.DOTALL | re.MULTILINE)
    if said:
        reason = " ".join(said[1].split())
        raise ValueError(f"no heatmaps of the {len(batch)} images from {batch[0]} on: {reason}") from error


def _append(
    writer: HeatmapWriter,
    batches: Iterable[tuple[int, np.ndarray, int]],
    grid: int,
    per_shard: int,
    advance: Callable[[int], object],
) -> None:
    """Write the batches, several at a time because every write waits for the disk; whatever happens, all of them."""
    made: dict[int, np.ndarray] = {}
    try:
        for first, heatmaps, images in batches:
            if len(heatmaps):
                maps = resample_heatmaps(heatmaps, grid)
                check_finite(maps, writer.files, first)  # before the writer would refuse the whole shard
                made[first] = maps
            advance(images)
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
