"""Checks of a loader's arguments, which are brought into one form."""

from __future__ import annotations

import os
import secrets
from typing import Any

from dali_ops.loader.reading.order import SEEDS, Order
from dali_ops.loader.reading.shard import Shard
from dali_ops.sources import Source
from dali_ops.sources.callers import warn_caller
from dalimix.support.lists import listed
from dalimix.support.numbers import is_whole

MANY = 0.05  # share of all images; so many are hardly damaged by chance


def source_of(value: Any) -> Source:
    """Check a source. Raises TypeError: it is not one of `dali_ops.sources`. ValueError: it has no images."""
    if isinstance(value, Source):
        if not len(value):
            raise ValueError("source has no images")
        return value
    told = isinstance(value, (str, os.PathLike))
    got = f"the path {os.fspath(value)!r}" if told else type(value).__name__
    kinds = "WebDataset(paths), TFRecord(paths), FileList.open(path) or ImageFolder.scan(path)"
    raise TypeError(f"source must be one of dali_ops.sources, such as {kinds}; a folder is for ImageFolderLoader, "
                    f"got {got}")  # fmt: skip


def seed_of(seed: Any, shard: Shard, training: bool) -> int:
    """Check the seed; a fresh one for None and -1.

    Raises:
        TypeError: it is not a whole number.
        ValueError: it is below -1, or too large; or there are several processes, which must have one in common.
    """
    seed = -1 if seed is None else seed
    if not is_whole(seed):
        raise TypeError(f"seed must be a whole number, got {seed!r}")
    if not -1 <= seed < SEEDS:
        raise ValueError(f"seed must be below 2**64 and from 0, or -1 for a fresh one, got {seed}")
    if seed < 0 and shard.world_size > 1 and training:
        raise ValueError(f"{shard.world_size} processes must shuffle alike: give all the same seed=, from 0")
    return secrets.randbits(31) if seed < 0 else int(seed)


def check_source(source: Source, order: Order, skip_corrupt: bool) -> None:
    """Raise a ValueError if the source is damaged, or too small for one batch."""
    if source.corrupt and not skip_corrupt:
        more = f"; and {len(source.corrupt) - 1} more" if len(source.corrupt) > 1 else ""
        raise ValueError(
            f"{source.corrupt[0]}{more}; if they are no part of the data, skip_corrupt=True leaves them out"
        )
    lost, found = len(source.corrupt), len(source.corrupt) + len(source)
    if lost > MANY * found:
        warn_caller(f"{lost} of {found} images are left out, more than a few: {source.corrupt[0]}")
    if not order.share and order.epochs is not None:
        raise ValueError(f"{len(source)} images are too few for this sampler and {order.shard.world_size} processes: "
                         "in an epoch of it none is left for each of them")  # fmt: skip
    if not order.steps:
        raise ValueError(f"batch_size {order.batch_size} is more than the {_share(order)}: "
                         "choose a smaller one, or drop_last=False")  # fmt: skip


def _share(order: Order) -> str:
    if order.epochs is not None:
        return f"{order.share} images that a process has in an epoch of this sampler"
    processes = order.shard.world_size
    return f"{order.count} images" + (f", in {processes} shares" if processes > 1 else "")


def positions(given: Any, count: int) -> list[int]:
    """Check positions of images in a source of `count`.

    Raises:
        TypeError: they are not whole numbers [n].
        ValueError: one is not from 0 to count - 1.
    """
    found = listed("index", given, "positions of images, whole numbers [n]")
    for position in found:
        if not is_whole(position):
            raise TypeError(f"index must be whole numbers [n], positions of images, got {position!r:.100}")
        if not 0 <= position < count:
            raise ValueError(f"index must be positions of images, from 0 to {count - 1}, got {position}")
    return found
