"""A sheet of photographs with their stored heatmaps over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from nvidia.dali import fn

from dali_ops.decorators import pipeline_of
from dali_ops.loader.decoding import whole_image
from dali_ops.loader.feed import Feed
from dali_ops.loader.heatmap_sources import places, with_maps
from dali_ops.loader.order import Order
from dali_ops.loader.unreadable import FAILURES, refuse_unreadable
from dali_ops.sheets.overlays import heat_colors, heat_key, heat_overlay
from dali_ops.sheets.page import GAP, HAIRLINE, MARGIN, PICTURE, QUIET, Layout, Page, as_path
from dali_ops.sheets.text import class_key, readable_classes, spelled, wrapped
from dali_ops.sources import ImageFolder
from dalimix import checks
from dalimix.stores import HeatmapStore

ACROSS = 3  # pairs of photograph and overlay
SEAM = 4  # pixels between the two
PAIR = 2 * PICTURE + SEAM
STEP = PAIR + 2 * GAP  # from pair to pair
NAME, NAME_LENGTH = 42, 54  # height in pixels of a name and the gap below it; letters that fit below a pair
TITLE, LINE = 44, 22  # heights in pixels


@dataclass(frozen=True)
class _Pairs(Layout):
    """Pairs next to each other, without columns that have a name."""

    columns: tuple[()] = ()

    @property
    def width(self) -> int:
        return 2 * MARGIN + ACROSS * STEP - 2 * GAP

    @property
    def colors(self) -> list[list[int]]:
        return heat_colors()


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
    _check(store, folder)
    out = as_path(out)
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
    subtitle = [facts, *wrapped(store.model, 155), *wrapped(spelled(key), 155)]
    _draw(pairs, out, wrapped(f"Heatmaps in {store.path}", 75), subtitle)
    return key


def _check(store: object, folder: object) -> None:
    if not isinstance(store, HeatmapStore):
        raise TypeError(f"store must be a HeatmapStore, got {type(store).__name__}")
    if not isinstance(folder, ImageFolder):
        raise TypeError(f"folder must be a dali_ops.sources.ImageFolder, got {type(folder).__name__}")


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
    return fn.resize(whole_image(encoded, "cpu"), size=[PICTURE, PICTURE], mode="not_larger")


def _draw(pairs: Sequence[_Pair], out: Path, title: list[str], subtitle: list[str]) -> None:
    rows = [pairs[k : k + ACROSS] for k in range(0, len(pairs), ACROSS)]
    heights = [max(len(pair.photograph) for pair in row) + NAME for row in rows]
    head = MARGIN + TITLE * len(title) + LINE * len(subtitle)
    tops = list(accumulate(heights, initial=head + 2 * LINE))
    page = Page(_Pairs(), tops.pop() + MARGIN - NAME // 2)
    page.text(MARGIN, MARGIN + 22, title, 28, TITLE, weight="bold")
    page.text(MARGIN, MARGIN + TITLE * len(title) + 10, subtitle, 15, LINE, color=QUIET)
    _draw_key(page, head)
    for row, top in zip(rows, tops, strict=True):
        for k, pair in enumerate(row):
            _draw_pair(page, MARGIN + k * STEP, top, pair)
    page.save(out)


def _draw_key(page: Page, y: int) -> None:
    """What the colours mean, at the right above a line."""
    right, key = page.layout.width - MARGIN, heat_key()
    page.text(right, y - 12, ["cold to hot, every map on a scale of its own"], 13, color=QUIET, ha="right")
    page.picture(right - 330, y - 22, key, key.shape[1])
    page.box(MARGIN, y + 4, right - MARGIN, 1, HAIRLINE)


def _draw_pair(page: Page, x: int, y: int, pair: _Pair) -> None:
    height, width = pair.photograph.shape[:2]
    page.picture(x, y, pair.photograph, width)
    page.picture(x + width + SEAM, y, heat_overlay(pair.photograph, pair.heatmap), width)
    name = pair.name if len(pair.name) <= NAME_LENGTH else "…" + pair.name[1 - NAME_LENGTH :]
    page.text(x, y + height + 17, [name], 13)
