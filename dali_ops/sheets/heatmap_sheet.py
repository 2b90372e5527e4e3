"""A sheet of photographs with their stored heatmaps over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np
from nvidia.dali import fn

from dali_ops.decorators import pipeline_of
from dali_ops.loader.heatmap_sources import places, with_maps
from dali_ops.loader.reading.decoding import whole_image
from dali_ops.loader.reading.feed import Feed
from dali_ops.loader.reading.order import Order
from dali_ops.loader.reading.unreadable import FAILURES, refuse_unreadable
from dali_ops.sheets import page
from dali_ops.sheets.overlays import heat_key, heat_overlay
from dali_ops.sheets.text import class_key, ending, readable_classes, spelled
from dali_ops.sources import ImageFolder
from dalimix import checks
from dalimix.stores import HeatmapStore

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ACROSS = 3  # pairs of photograph and overlay
SEAM, BETWEEN = 4, 24  # pixels between the two, and between pairs
PAIR = 2 * page.PICTURE + SEAM
NAME, NAME_WIDTH = 21, 54  # height in pixels of a name below a pair, and how many letters fit


@dataclass(frozen=True)
class _Pair:
    """A photograph, uint8 [h, w, 3], and its heatmap, float32 [g, g]."""

    name: str
    photograph: np.ndarray
    heatmap: np.ndarray


def draw_heatmaps(store: HeatmapStore, folder: ImageFolder, out: Path, *, count: int, seed: int) -> dict[str, str]:
    """Draw some images of a folder, chosen at random, each beside itself under its stored heatmap.

    Args:
        store: of the folder, or of one that has its files and more. Images that it has left out are not shown.
        folder: the images.
        out: the PNG, below 2.5 MB for up to 24 images; its folder is made if need be.
        count: how many images; fewer if the folder has no more.
        seed: of the choice.

    Returns:
        What stands on the sheet for classes whose names no font here can write, and those names.

    Raises:
        TypeError, ValueError: an argument is not as described; the store has no heatmap of some file, or has left out
            all of them; or an image cannot be decoded, by name.
    """
    checks.counts(count=count)
    checks.numbers(seed=seed)
    checks.kind("store", store, HeatmapStore, "a HeatmapStore")
    checks.kind("folder", folder, ImageFolder, "a dali_ops.sources.ImageFolder")
    out = page.as_path(out)
    all_of_them = len(folder)
    folder = with_maps(folder, store)
    at = places(folder, store)
    numbers = sorted(Random(seed).sample(range(len(at)), min(count, len(at))))
    chosen = folder.picked(numbers)
    maps = store.read(at[numbers])
    names = _readable(chosen)
    pairs = [_Pair(*pair) for pair in zip(names, _photographs(chosen), maps, strict=True)]
    facts = f"{len(pairs)} of {len(at):,} images, {store.grid} × {store.grid} cells in {store.dtype}"
    if len(at) < all_of_them:
        facts += f"; {all_of_them - len(at):,} that could not be decoded have none"
    key = class_key(chosen.classes, {name.partition("/")[0] for name in names})
    _draw(pairs, out, f"Heatmaps in {store.path}", [facts, store.model, spelled(key)])
    return key


def _readable(folder: ImageFolder) -> list[str]:
    """The names of the files, in which classes that no font can write are numbers."""
    classes = readable_classes(folder.classes)
    places = [name.split("/", 1)[1:] for name in folder.names]
    return ["/".join([classes[label], *place]) for label, place in zip(folder.labels, places, strict=True)]


def _photographs(folder: ImageFolder) -> list[np.ndarray]:
    """Uint8 [h, w, 3] of every image, as large as fits into a place on the sheet."""
    feed = Feed(folder, Order(len(folder), len(folder)))
    pipeline = _whole(feed, batch_size=len(folder), num_threads=2, device_id=None, prefetch_queue_depth=1)
    try:
        (images,) = pipeline.run()
    except FAILURES as error:
        remedy = "mend or remove it, or choose other images by another seed"
        refuse_unreadable(error, folder, range(len(folder)), pipeline.device_id, remedy)
        raise
    return [np.array(images.at(k)) for k in range(len(images))]


@pipeline_of
def _whole(feed: Feed) -> Any:
    (encoded,) = feed.read()
    return fn.resize(whole_image(encoded, "cpu"), size=[page.PICTURE, page.PICTURE], mode="not_larger")


def _draw(pairs: Sequence[_Pair], out: Path, title: str, subtitle: Sequence[str]) -> None:
    told = "cold to hot, every map on a scale of its own"
    strips: list[page.Strip] = [page.head(title, subtitle)]
    strips += [(page.HEADING, lambda strip: page.heading(strip, 0, told, heat_key())), (page.RULE, page.rule)]
    for row in (pairs[k : k + ACROSS] for k in range(0, len(pairs), ACROSS)):
        strips.append((max(len(pair.photograph) for pair in row) + NAME, partial(_draw_pairs, row)))
    page.draw_page(ACROSS * (PAIR + BETWEEN) - BETWEEN, strips, out)


def _draw_pairs(pairs: Sequence[_Pair], strip: Axes) -> None:
    for x, pair in zip(range(0, ACROSS * (PAIR + BETWEEN), PAIR + BETWEEN), pairs, strict=False):
        height, width = pair.photograph.shape[:2]
        page.picture(strip, x, pair.photograph, width)
        page.picture(strip, x + width + SEAM, heat_overlay(pair.photograph, pair.heatmap), width)
        page.text(strip, x, height + 17, [ending(pair.name, NAME_WIDTH)], 13)
