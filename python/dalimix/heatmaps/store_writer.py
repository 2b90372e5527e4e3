"""Making a store of heatmaps, shard by shard, so that it can be stopped at any moment and gone on with."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from dalimix.heatmaps.store import HeatmapStore
from dalimix.heatmaps.store_format import (
    ARRAY,
    DTYPES,
    FACTS,
    HEADER,
    NEW,
    PROGRESS,
    REMEDY,
    Facts,
    Progress,
    check_array,
    digest_of,
    digest_of_written,
    map_array,
    npy_header,
    part_of,
    read_begun,
    same_facts,
    sync_folder,
    write_facts,
    write_progress,
)
from dalimix.lists import listed
from dalimix.methods.base import is_whole
from dalimix.paths import errors_name, local_path
from dalimix.pixels import image_dtype

FLOATS = ("float16", "float32", "float64")


class HeatmapWriter:
    """``with HeatmapStore.create(...) as writer``: takes the maps in the order of the files.

    Only one writer at a time can have a store. It keeps it until it is finished, closed, or its process has ended, and
    cannot be handed to another process. Needs Linux or macOS.

    ::

        with HeatmapStore.create(path, files, grid=14, model="DeiT-S, block 11") as writer:
            while writer.done < len(writer):
                names = writer.files[writer.done : writer.done + 1024]
                writer.append(heatmaps_of(names))
            store = writer.finish()

    Attributes:
        path: the folder that is to be.
        files: the images' paths, one for each map.
        done: how many maps are safely written, also by earlier writers.
    """

    def __init__(
        self, path: str | os.PathLike[str], files: Sequence[str], grid: int, model: str, dtype: str | np.dtype
    ) -> None:
        whole = int(grid) if is_whole(grid) else grid
        self._facts = Facts(portable_names(files), whole, _writable(model), _dtype_name(dtype))
        self.path, self.files = local_path(path), self._facts.files
        _refuse_existing(self.path)
        self._part, self._process = part_of(self.path), os.getpid()
        self._array: int | None = _open_locked(self._part)
        try:
            _refuse_existing(self.path)  # whoever had it until now may have finished it
            self.done, self._digest = self._go_on()
        except BaseException:
            self.close()
            raise

    def __len__(self) -> int:
        return len(self.files)

    def __enter__(self) -> HeatmapWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> str:
        raise TypeError("a HeatmapWriter has a store for itself, and so can neither be pickled nor copied")

    def close(self) -> None:
        """Let others go on. What was appended stays; nothing more can be."""
        if self._array is not None:
            os.close(self._array)
            self._array = None

    def append(self, heatmaps: np.ndarray) -> None:
        """Write the maps of the next images. When this returns, they are safe, also from a loss of power.

        Args:
            heatmaps: floating [n, g, g], finite; of ``files[done : done + n]``. Each is divided by its own largest
                absolute value, in float64, and rounded to nearest, half to even.

        Raises:
            TypeError, ValueError: the maps are not as described, or more than are missing; the writer is closed.
                Nothing is written.
            OSError: the disk is full or fails; it names the file. `done` stays as it was, and the call can be repeated.
        """
        array = self._open_array()
        self._check(heatmaps)
        data, digest = quantised(heatmaps, self._facts.dtype).tobytes(), self._digest.copy()
        digest.update(data)
        with errors_name(self._part / ARRAY):
            _write(array, data, HEADER + self.done * self._facts.map_bytes)
        progress = Progress(self.done + len(heatmaps), digest.hexdigest())
        write_progress(self._part, progress)
        self.done, self._digest = progress.done, digest

    def finish(self) -> HeatmapStore:
        """Move the store to its path, and open it. The writer is closed then.

        Raises:
            ValueError: maps are missing or not as they were written, the writer is closed, or there is something at the
                path by now.
            OSError: the disk is full or fails; it names the file.
        """
        self._open_array()
        if self.done < len(self):
            next_file = self.files[self.done]
            raise ValueError(f"{self._part} has {self.done} of {len(self)} maps, the next is of {next_file!r}")
        _refuse_existing(self.path)
        digest = digest_of(map_array(self._part, self._facts))
        self._same_maps(len(self), digest, self._digest.hexdigest())
        write_facts(self._part, replace(self._facts, sha256=digest))
        (self._part / PROGRESS).unlink(missing_ok=True)
        sync_folder(self._part)
        os.rename(self._part, self.path)
        sync_folder(self.path.parent)
        self.close()
        return HeatmapStore.open(self.path)

    def _open_array(self) -> int:
        if self._array is None:
            raise ValueError(f"the writer of {self.path} is closed")
        if os.getpid() != self._process:  # it would share the place in the file, and the lock
            raise ValueError(f"the writer of {self.path} was made in another process; make one in each process")
        return self._array

    def _go_on(self) -> tuple[int, hashlib._Hash]:
        """How many maps are there, and their digest; if the store is new, it is made ready for the first."""
        begun = read_begun(self._part)
        if begun is None:
            self._begin()
            return 0, hashlib.sha256()
        there, progress = begun
        same_facts(self._part, there, self._facts)
        check_array(self._part, self._facts, least=progress.done)
        with errors_name(self._part / ARRAY):
            digest = digest_of_written(self._open_array(), progress.done * self._facts.map_bytes)
        self._same_maps(progress.done, digest.hexdigest(), progress.sha256)
        return progress.done, digest

    def _same_maps(self, count: int, digest: str, expected: str) -> None:
        if digest != expected:
            raise ValueError(
                f"{self._part / ARRAY} has changed since it was written: the sha256 of its first {count} maps is "
                f"{digest}, expected {expected}; {REMEDY}"
            )

    def _begin(self) -> None:
        """store.json comes last: without it, there is nothing to go on with."""
        array = self._open_array()
        if os.fstat(array).st_size > HEADER:
            raise ValueError(f"{self._part} has a {ARRAY} with maps but no {FACTS}: move it away")
        with errors_name(self._part / ARRAY):
            _write(array, npy_header(self._facts), 0)
        write_facts(self._part, self._facts)
        sync_folder(self._part.parent)

    def _check(self, heatmaps: np.ndarray) -> None:
        g, left, at = self._facts.grid, len(self) - self.done, self.files[min(self.done, len(self) - 1)]
        if not isinstance(heatmaps, np.ndarray):
            raise TypeError(f"heatmaps from {at!r} on must be a NumPy array, got {type(heatmaps)}")
        if heatmaps.dtype.name not in FLOATS:
            raise TypeError(f"heatmaps from {at!r} on must be {', '.join(FLOATS)}, got {heatmaps.dtype}")
        if heatmaps.ndim != 3 or heatmaps.shape[1:] != (g, g):
            raise ValueError(f"heatmaps from {at!r} on must be [n, {g}, {g}], got {list(heatmaps.shape)}")
        if len(heatmaps) > left:
            raise ValueError(f"{len(heatmaps)} heatmaps for {left} files, the last of which is {self.files[-1]!r}")
        check_finite(heatmaps, self.files, self.done)


def check_finite(heatmaps: np.ndarray, files: Sequence[str], first: int) -> None:
    """Refuse maps that are not finite, by the name of the first; ``heatmaps[0]`` is of ``files[first]``."""
    wrong = np.flatnonzero(~np.isfinite(heatmaps).all(axis=(1, 2)))
    if len(wrong):
        raise ValueError(f"the heatmap of {files[first + wrong[0]]!r} has NaN or infinite values")


def quantised(heatmaps: np.ndarray, dtype: str) -> np.ndarray:
    """Finite maps [n, g, g] as they are kept. A map of nothing but 0 stays so."""
    exact = heatmaps.astype(np.float64)
    largest = np.abs(exact).max(axis=(1, 2), keepdims=True)
    scaled = exact / np.where(largest > 0, largest, 1)
    if dtype == "uint8":
        scaled = np.rint(np.maximum(scaled, 0) * 255)
    return scaled.astype(DTYPES[dtype])


def portable_names(files: Sequence[str]) -> list[str]:
    """`files` as a list, if their names mean the same wherever the data set lies.

    Raises:
        TypeError: they are no list, array or the like.
        ValueError: they do not.
    """
    names = listed("files", files, "paths")
    wrong = [name for name in names if not _is_portable(name)]
    if wrong:
        expected = "paths relative to the data set's root, with forward slashes, that UTF-8 can write"
        raise ValueError(f"files must be {expected}, got {wrong[0]!r}")
    if len(set(names)) < len(names):
        twice = next(name for name, count in Counter(names).items() if count > 1)
        raise ValueError(f"files must be different ones, got {twice!r} twice")
    return names


def _is_portable(file: object) -> bool:
    if not isinstance(file, str) or "\\" in file or {"", ".", ".."} & set(file.split("/")):
        return False
    return _is_utf8(file)


def _is_utf8(text: str) -> bool:
    return text.encode(errors="ignore").decode() == text


def _writable(model: str) -> str:
    if isinstance(model, str) and not _is_utf8(model):
        raise ValueError(f"model must be text that UTF-8 can write, got {model!r}")
    return model


def _dtype_name(dtype: str | np.dtype) -> str:
    """By any library's name of it; `Facts` refuses what it does not know."""
    try:
        return image_dtype(dtype).name
    except TypeError:
        return dtype  # type: ignore[return-value]


def _refuse_existing(path: Path) -> None:
    if os.path.lexists(path):
        raise ValueError(f"{path} exists already; nothing was overwritten")


def _open_locked(part: Path) -> int:
    """The array's file in `part`, for this process alone.

    The lock is on the array itself: a file of its own would have to go before the folder gets its name, and so would
    not lock its last moment.
    """
    import fcntl  # not on Windows, where stores can be read all the same

    _make_folder(part)
    create = 0 if (part / FACTS).exists() else os.O_CREAT
    try:
        array = os.open(part / ARRAY, os.O_RDWR | create, 0o666)
    except FileNotFoundError:
        raise ValueError(f"{part} has no {ARRAY}") from None
    try:
        with errors_name(part / ARRAY):
            fcntl.flock(array, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(array)
        if not isinstance(error, BlockingIOError):
            raise
        raise ValueError(f"{part} is being written by another writer") from None
    return array


def _make_folder(part: Path) -> None:
    try:
        part.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise ValueError(f"{part} is no folder; nothing was overwritten") from None
    strange = sorted({file.name for file in part.iterdir()} - {ARRAY, FACTS, PROGRESS, NEW})
    if strange:
        raise ValueError(f"{part} is no store that was begun: it has {strange[0]!r}")


def _write(array: int, data: bytes, offset: int) -> None:
    """All of it, to the disk itself."""
    left = memoryview(data)
    while left:
        written = os.pwrite(array, left, offset)
        left, offset = left[written:], offset + written
    os.fsync(array)
