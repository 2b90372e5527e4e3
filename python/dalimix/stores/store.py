"""One heatmap of every image of a data set, kept on disk, so that the model that makes them runs only once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from threading import Lock
from types import ModuleType

import numpy as np

from dalimix.arrays import Array
from dalimix.cuda.constants import current_device
from dalimix.stores.format import (
    ARRAY,
    FACTS,
    Facts,
    digest_of,
    digest_of_facts,
    map_array,
    part_of,
    read_begun,
    read_facts,
    same_files,
)
from dalimix.support.lists import texts
from dalimix.support.numbers import is_whole
from dalimix.support.paths import local_path


class HeatmapStore:
    """``store = HeatmapStore.open(path)``: the maps of a finished store. `HeatmapWriter` makes one.

    A store is a folder of two files: heatmaps.npy, [N, g, g] of uint8 or float16, and store.json, which says what the
    maps are of. Every map was divided by its own largest absolute value, so only its shape is kept: TokenMix divides by
    the sum anyway, and the other methods ask only what is higher.

    A store can be pickled and copied: the copy maps the files anew, if they are still the same.

    Attributes:
        path: the folder.
        maps: read-only memory map [N, g, g], as it is on disk.
        files: N paths relative to the data set's root, with forward slashes; ``maps[k]`` is of ``files[k]``.
        left_out: paths of images that have no map, because they could not be decoded when the maps were made.
        model: what made the maps, in words.
        grid: g, cells along each side.
        dtype: ``"uint8"``, 0 … 255 for 0 … 1, where what was below 0 is 0; or ``"float16"``, -1 … 1.
        nbytes: size of `maps` in bytes.
        gpu_limit: bytes of GPU memory that the maps may take there.

    Examples:
        >>> maps = HeatmapStore.open(store.path)
        >>> len(maps), maps.grid, maps.dtype, maps.files[0]
        (12, 4, 'uint8', 'cat/0.jpg')
        >>> maps.read(np.array([0, 5])).shape  # float32
        (2, 4, 4)
    """

    def __init__(self, path: Path, facts: Facts, maps: np.memmap, gpu_limit: int) -> None:
        if not isinstance(facts, Facts):
            raise TypeError(f"facts must be those of a store, got {facts!r:.100}: HeatmapStore.open reads them")
        if not isinstance(maps, np.ndarray) or maps.shape != facts.shape:
            raise TypeError(f"maps must be an array {list(facts.shape)}, got {maps!r:.100}")
        _check_limit(gpu_limit)
        path = local_path(path)
        _check_there(path)
        self.path, self.maps, self.gpu_limit = path, maps, gpu_limit
        self.files, self.left_out = facts.files, facts.left_out
        self.model, self.grid, self.dtype = facts.model, facts.grid, facts.dtype
        self.nbytes: int = maps.nbytes
        self._facts = facts
        self._stamp = _stamp(path / ARRAY)
        self._copies: dict[int, Array] = {}
        self._lock = Lock()

    @classmethod
    def open(
        cls, path: str | PathLike[str], files: Sequence[str] | None = None, *, gpu_limit: int = 1 << 30
    ) -> HeatmapStore:
        """Map a finished store into memory. Sizes and the array's header are checked; `verify` checks the bytes.

        Args:
            path: the folder.
            files: the list that it must be of, in that order; None: any.
            gpu_limit: bytes of GPU memory that the maps may take there.

        Raises:
            TypeError, ValueError: an argument is not as described; no store is there, it is not finished, of another
                format version, damaged, or of other files.
        """
        path = local_path(path)
        _check_limit(gpu_limit)
        _check_there(path)
        facts = read_facts(path)
        if facts.sha256 is None:
            raise ValueError(f"{path} is not finished: go on as it was begun")
        if files is not None:
            same_files(path, facts.files, texts("files", files, "paths"))
        return cls(path, facts, map_array(path, facts), gpu_limit)

    def __len__(self) -> int:
        return len(self.files)

    def __reduce__(self) -> tuple[object, ...]:
        return _reopened, (os.path.abspath(self.path), self._identity, self._stamp, self.gpu_limit)

    @property
    def _identity(self) -> str:
        """The same for two stores if all of them is the same."""
        return digest_of_facts(self._facts)

    def __repr__(self) -> str:
        return f"<HeatmapStore {self.path}: {len(self)} of {self.grid} × {self.grid}, {self.dtype}, by {self.model}>"

    def gather(self, index: np.ndarray) -> np.ndarray:
        """The maps of some images as they are on disk.

        Args:
            index: integer [B], places in `files`.

        Returns:
            [B, g, g] of the store's dtype, a new contiguous array.

        Raises:
            TypeError: `index` is not integer [B].
            ValueError: an entry is below 0 or not below N.
        """
        index = _array(index)
        if index.dtype.kind not in "iu" or index.ndim != 1:
            raise TypeError(f"index must be integer [B], got {index.dtype} {list(index.shape)}")
        outside = index[(index < 0) | (index >= len(self))]
        if len(outside):
            raise ValueError(f"index must be from 0 to {len(self) - 1} in {self.path}, got {outside[0]}")
        chosen: np.ndarray = self.maps[index]
        return chosen

    def read(self, index: np.ndarray) -> np.ndarray:
        """The maps of some images as numbers: float32 [B, g, g] in [-1, 1]. Arguments and errors as in `gather`."""
        maps = self.gather(index).astype(np.float32)
        return maps / np.float32(255) if self.dtype == "uint8" else maps

    def on(self, xp: ModuleType) -> Array:
        """All maps as an array of `xp`: for NumPy `maps` itself; for CuPy a copy on the current device, made once.

        Raises:
            TypeError: `xp` is neither.
        """
        if getattr(xp, "__name__", None) not in ("numpy", "cupy"):
            raise TypeError(f"xp must be the module numpy or cupy, got {xp!r:.100}")
        device = current_device(xp)
        if device < 0:
            return self.maps
        with self._lock:  # several pipelines may ask at once
            if device not in self._copies:
                self._copies[device] = xp.asarray(self.maps)
                xp.cuda.get_current_stream().synchronize()  # others will read it on their own streams
            return self._copies[device]

    def verify(self) -> None:
        """Read all maps and compare their SHA-256 with what it was when the store was finished.

        Raises:
            ValueError: they have changed.
        """
        digest = digest_of(self.maps).hexdigest()
        expected = self._facts.sha256
        if digest != expected:
            raise ValueError(f"{self.path / ARRAY} has changed: its sha256 is {digest}, expected {expected}")


def _check_limit(gpu_limit: int) -> None:
    if not is_whole(gpu_limit) or gpu_limit < 0:
        raise ValueError(f"gpu_limit must be a whole number of bytes from 0, got {gpu_limit!r}")


def _reopened(path: str, identity: str, stamp: tuple[int, int], gpu_limit: int) -> HeatmapStore:
    """The store that was pickled. Maps that were written since are read and compared."""
    store = HeatmapStore.open(path, gpu_limit=gpu_limit)
    if store._identity != identity:
        raise ValueError(f"{path} is another store than the one that was pickled: open it anew")
    if store._stamp != stamp:
        store.verify()
    return store


def _stamp(file: Path) -> tuple[int, int]:
    """Size in bytes, and when it was written last, in nanoseconds."""
    facts = os.stat(file)
    return facts.st_size, facts.st_mtime_ns


def _array(index: np.ndarray) -> np.ndarray:
    try:
        return np.asarray(index)
    except (TypeError, ValueError, RuntimeError) as error:  # of lists of lists, and of tensors on a GPU
        raise TypeError(f"index must be integer [B], got {index!r:.100}") from error


def _check_there(path: Path) -> None:
    if not path.is_dir():
        raise ValueError(_unfinished(path) or f"{path} is no folder, expected one made by dalimix heatmaps build")
    missing = next((name for name in (FACTS, ARRAY) if not (path / name).is_file()), None)
    if missing is not None:
        raise ValueError(f"{path} has no {missing}")


def _unfinished(path: Path) -> str | None:
    """How far the store at `path` is, if it was begun."""
    part = part_of(path)
    if not part.is_dir():
        return None
    begun = read_begun(part)
    there = f"{begun[1].done} of {len(begun[0].files)} maps are" if begun else "no map is"
    return f"{path} is not finished: {there} in {part}; go on as it was begun"
