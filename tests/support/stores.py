"""A small store of heatmaps, what lies in its folder, and that a call is refused without a change to it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dalimix.stores import HeatmapStore, HeatmapWriter

ARRAY, FACTS, PROGRESS = "heatmaps.npy", "store.json", "progress.json"
FILES = [f"class {k % 3}/Bäume_{k}.jpg" for k in range(11)]
GRID, SHARD = 3, 4
DTYPES = ("uint8", "float16")


def some_maps(dtype: str = "float32") -> np.ndarray:
    """One map of each file: positive, negative, with ties, of very different sizes, and one of nothing but 0."""
    rng = np.random.default_rng(0)
    maps = rng.standard_normal((len(FILES), GRID, GRID)) * 10.0 ** rng.integers(-3, 3, (len(FILES), 1, 1))
    maps[2] = np.abs(maps[2])
    maps[3] = 0
    maps[4] = -np.abs(maps[4])
    maps[5] = [[2, 1, 0.5], [255, 254.5, 253.5], [-1, -255, 0]]  # halves are rounded to even
    return maps.astype(dtype)


def create(path: Path, dtype: str = "uint8") -> HeatmapWriter:
    return HeatmapWriter(path, FILES, GRID, model="random", dtype=dtype)


def build(
    path: Path, dtype: str = "uint8", shard: int = SHARD, told: Callable[[int], object] = lambda done: None
) -> None:
    """Make the store, or go on with it; `told` hears how many maps are safe."""
    with create(path, dtype) as writer:
        told(writer.done)
        while writer.done < len(writer):
            writer.append(some_maps()[writer.done : writer.done + shard])
            told(writer.done)
        writer.finish()


def store_of(path: Path, files: list[str], maps: Any, model: str = "noise") -> HeatmapStore:
    """The store of such maps [N, g, g], each of a file."""
    with HeatmapWriter(path, files, maps.shape[1], model=model) as writer:
        writer.append(maps)
        return writer.finish()


def contents(folder: Path) -> dict[str, bytes | None]:
    """All that is in `folder`, and its folders as None."""
    return {str(at.relative_to(folder)): at.read_bytes() if at.is_file() else None for at in folder.rglob("*")}


@contextmanager
def refused(folder: Path, message: str, error: type[Exception] = ValueError) -> Iterator[None]:
    """Expect the error, and that all in `folder` stays as it was."""
    before = contents(folder)
    with pytest.raises(error, match=message):
        yield
    assert contents(folder) == before


class Trap:
    """Unpickling it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)
