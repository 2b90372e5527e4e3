"""What sources of archives share: every image is a stretch of bytes of a shard that is mapped into memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from os import PathLike
from typing import Any, NamedTuple, cast

import numpy as np

from dali_ops.sources.archives.index import kept_listing
from dali_ops.sources.archives.listing import Listing
from dali_ops.sources.archives.mapped_file import map_shard
from dali_ops.sources.archives.shard_files import Paths, ShardFile, find_shards
from dali_ops.sources.first_label import of_no_class, warn_without_class_0
from dali_ops.sources.source import MOST_CLASSES, Source
from dalimix.support.lists import texts

LOWEST, HIGHEST = -(1 << 63), (1 << 63) - 1  # of the class indices in a listing, int64

SAMPLE_MARKS = ("/", *(f":{digit}" for digit in range(10)))  # between the name of a shard and that of a sample


class Member(NamedTuple):
    """An image of a shard: its name, where its bytes begin, how many there are, and its class index."""

    name: str
    offset: int
    length: int
    label: int


# goes through a shard, uint8 [bytes], and appends to the list a line for each thing that cannot be used
Lister = Callable[[ShardFile, np.ndarray, list[str]], Iterator[Member]]


class Archive(Source):
    """Images in shards; a kind of archive adds how a shard is listed. Pickled, it takes no map with it.

    Args:
        paths: as in `find_shards`.
        lister: goes through one shard.
        options: what else the listing follows from, for the index; ``first_label``, which the lister has subtracted,
            is one of them if it is not 0.
        classes: names of the classes; None: their numbers as text, up to the highest.
        index: file that keeps the listing.
        name: of `paths`, for messages.

    Attributes:
        shards: the files, in the order of their images.
        shard: int32 [N], place of each image's file in `shards`.
        offset: int64 [N], where its bytes begin in that file.
        length: int64 [N], how many there are.
    """

    no_copy = True
    chosen_by = ""  # the arguments that say what is an image and a label, for the message where there is none

    def __init__(
        self,
        paths: Paths,
        lister: Lister,
        options: dict[str, Any],
        classes: Sequence[str] | None,
        index: str | PathLike[str] | None,
        name: str = "shards",
    ) -> None:
        names = None if classes is None else texts("classes", classes)
        if names is not None and not names:
            raise ValueError("classes must be one name at least, or None for numbers, got none")
        self.shards = find_shards(paths, name)
        listing = kept_listing(index, self.shards, options, lambda: _list(self.shards, lister))
        first_label, most = options.get("first_label", 0), len(names) if names is not None else MOST_CLASSES
        listing = _with_classes_below(most, first_label, listing)
        if not listing.names:
            raise ValueError(f"no usable image in {self.shards[0].path}: {self._first_reason(listing.corrupt)}")
        self.shard, self.offset, self.length = listing.shard, listing.offset, listing.length
        self.names, self.corrupt = listing.names, listing.corrupt
        self.labels = cast("Sequence[int]", listing.labels)  # an array does all that is asked of it
        self.classes = names if names is not None else list(map(str, range(listing.labels.max() + 1)))
        self._maps: dict[int, np.ndarray] = {}
        if names is None:
            warn_without_class_0(int(listing.labels.min()), first_label, len(self.classes))

    def _first_reason(self, corrupt: Sequence[str]) -> str:
        """Why there is no image. Arguments could change that if there are samples: lines of theirs name them."""
        of_samples = tuple(f"{shard.name}{mark}" for shard in self.shards for mark in SAMPLE_MARKS)
        line = next((line for line in corrupt if line.startswith(of_samples)), None)
        return corrupt[0] if corrupt and line is None else "; ".join(filter(None, [line, self.chosen_by]))

    def fetch(self, numbers: np.ndarray) -> list[np.ndarray]:
        """Read-only views of the shards, uint8 [n]; nothing is read until somebody looks at them.

        Raises:
            TypeError, ValueError: `numbers` are no images.
            OSError: a shard cannot be opened, or has changed since it was listed.
        """
        numbers = self._asked(numbers)
        starts = self.offset[numbers]
        stops = starts + self.length[numbers]
        places = zip(self.shard[numbers].tolist(), starts.tolist(), stops.tolist(), strict=True)
        return [self._content(shard)[start:stop] for shard, start, stop in places]

    def read(self, number: int) -> np.ndarray:
        return self.fetch(np.array([self._asked_one(number)]))[0]

    def close(self) -> None:
        """Let go of the shards. Each is unmapped when nothing that was fetched of it is left."""
        self._maps.clear()

    def _content(self, shard: int) -> np.ndarray:
        content = self._maps.get(shard)
        if content is None:
            content = self._maps[shard] = map_shard(self.shards[shard])
        return content

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_maps": {}}


def _list(shards: Sequence[ShardFile], lister: Lister) -> Listing:
    parts: list[Listing] = []
    for place, shard in enumerate(shards):
        corrupt: list[str] = [] if shard.size else [f"{shard.name} is an empty file"]
        members = list(lister(shard, map_shard(shard), corrupt)) if shard.size else []
        names, *columns = zip(*members, strict=True) if members else ((), (), (), ())
        offset, length, labels = (np.array(column, np.int64) for column in columns)
        parts.append(Listing(list(names), np.full(len(members), place, np.int32), offset, length, labels, corrupt))
    return Listing.joined(parts)


def class_index(label: int, first_label: int) -> int:
    """From 0, for a `Lister`; what int64 cannot hold is no class anyhow."""
    return min(max(label - first_label, LOWEST), HIGHEST)


def _with_classes_below(count: int, first_label: int, listing: Listing) -> Listing:
    """Without images of other class indices: each is told by a line."""
    usable = (listing.labels >= 0) & (listing.labels < count)
    if usable.all():
        return listing
    unusable = np.flatnonzero(~usable)
    told = {k: of_no_class(int(listing.labels[k]) + first_label, first_label, count) for k in unusable}
    lines = [f"{listing.names[k]}: {what}" for k, what in told.items()]
    return listing.picked(np.flatnonzero(usable), lines)
