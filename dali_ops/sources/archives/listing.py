"""What an archive holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Listing:
    """Where the images of an archive are.

    Attributes:
        names: N of them.
        shard: int32 [N], which file.
        offset: int64 [N], where the image's bytes begin in it.
        length: int64 [N], how many there are.
        labels: int64 [N], class indices.
        corrupt: what cannot be used, a line each.
    """

    names: list[str]
    shard: np.ndarray
    offset: np.ndarray
    length: np.ndarray
    labels: np.ndarray
    corrupt: list[str]

    def __post_init__(self) -> None:
        """Raises ValueError: the columns have different lengths."""
        counts = {"names": len(self.names)} | {name: len(column) for name, column in self.columns.items()}
        if len(set(counts.values())) > 1:
            raise ValueError(f"a listing has as many of each, got {counts}")

    def check(self, sizes: Sequence[int]) -> None:
        """Whether it can be of shards of these sizes, in bytes.

        Raises:
            ValueError: it cannot.
        """
        for name, column in self.columns.items():
            expected = np.dtype(np.int32 if name == "shard" else np.int64)
            if column.dtype != expected or column.ndim != 1:
                raise ValueError(f"{name} must be {expected} [N], got {column.dtype} {list(column.shape)}")
        lines = [*self.names, *self.corrupt]
        if not isinstance(self.names, list) or not all(isinstance(line, str) for line in lines):
            raise ValueError("names and lines of what is corrupt must be text")
        if ((self.shard < 0) | (self.shard >= len(sizes))).any():
            raise ValueError(f"an image lies in another shard than the {len(sizes)}")
        room = np.asarray(sizes, np.int64)[self.shard]
        if ((self.offset < 0) | (self.length < 1) | (self.offset > room - self.length)).any():
            raise ValueError("an image lies outside of its shard")

    @property
    def columns(self) -> dict[str, np.ndarray]:
        return {"shard": self.shard, "offset": self.offset, "length": self.length, "labels": self.labels}

    @classmethod
    def joined(cls, parts: Sequence[Listing]) -> Listing:
        """All of them, one after the other."""
        columns = {name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns}
        names = [name for part in parts for name in part.names]
        return cls(names, **columns, corrupt=[line for part in parts for line in part.corrupt])

    def picked(self, numbers: np.ndarray, corrupt: Sequence[str]) -> Listing:
        """Only some of the images, and more lines."""
        columns = {name: column[numbers] for name, column in self.columns.items()}
        return Listing([self.names[k] for k in numbers], **columns, corrupt=[*self.corrupt, *corrupt])
