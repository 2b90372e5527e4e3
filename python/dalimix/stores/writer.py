"""Making a store of heatmaps, shard by shard, so that it can be stopped at any moment and gone on with."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from dalimix.arrays import array_module
from dalimix.pixels import dtype_name
from dalimix.stores.format import (
    ARRAY,
    FACTS,
    NEW,
    PROGRESS,
    REMEDY,
    Facts,
    Progress,
    digest_of,
    map_array,
    npy_header,
    part_of,
    read_begun,
    same_facts,
    sync_folder,
    write_facts,
    write_progress,
)
from dalimix.stores.maps import check_finite, quantised
from dalimix.stores.names import portable_names, writable
from dalimix.stores.store import HeatmapStore
from dalimix.support.lists import texts
from dalimix.support.numbers import is_whole
from dalimix.support.paths import errors_name, local_path

FLOATS = ("float16", "float32", "float64")
AT_ONCE = 1 << 22  # bytes that are read at a time


class HeatmapWriter:
    """``with HeatmapWriter(...) as writer``: begins a store, or goes on with one, and takes the maps in their order.

    The store is made in the folder ``<path>.part``, which becomes `path` when it is finished. Only one writer at a time
    can have it, until it is finished, closed, or its process has ended, and it cannot be handed to another process. One
    that was begun goes on where it was, if the arguments are the very same. Needs Linux or macOS.

    Args:
        path: the folder to make; there must be nothing yet.
        files: the images' paths relative to the data set's root, with forward slashes, one for each map.
        grid: cells along each side of the maps.
        model: what makes the maps, in words.
        dtype: ``"uint8"`` keeps what is above 0, in 255 steps; ``"float16"`` keeps the sign, in twice the size.

    Attributes:
        path: the folder that is to be.
        files: the images' paths, one for each map.
        left_out: paths of images that have no map, see `leave_out`.
        done: how many maps are safely written, also by earlier writers.

    Raises:
        TypeError, ValueError: an argument is not as described, `path` exists, or ``<path>.part`` is of another store,
            is damaged, also if it is only one bit of its maps, or is being written by someone else. Nothing is
            overwritten.
        OSError: the disk is full or fails; it names the file.

    Examples:
        >>> with HeatmapWriter(f"{empty}/maps", ["cat/0.jpg", "dog/0.jpg"], grid=4, model="noise") as writer:
        ...     while writer.done < len(writer):  # goes on where an earlier writer ended
        ...         writer.append(np.random.default_rng(writer.done).random((1, 4, 4)))  # of writer.files[writer.done]
        ...     writer.finish()
        <HeatmapStore ...: 2 of 4 × 4, uint8, by noise>
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        files: Sequence[str],
        grid: int,
        *,
        model: str,
        dtype: str | np.dtype = "uint8",
    ) -> None:
        whole = int(grid) if is_whole(grid) else grid
        self._facts = Facts(portable_names(files), whole, writable(model), _dtype_name(dtype))
        self._start = len(npy_header(self._facts))
        self.path = local_path(path)
        _refuse_existing(self.path)
        self._part, self._process = part_of(self.path), os.getpid()
        self._array: int | None = _open_locked(self._part)
        try:
            _refuse_existing(self.path)  # whoever had it until now may have finished it
            self.done, self._digest = self._go_on()
        except BaseException:
            self.close()
            raise

    @property
    def files(self) -> list[str]:
        return self._facts.files

    @property
    def left_out(self) -> list[str]:
        return self._facts.left_out

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
            _write(array, data, self._start + self.done * self._facts.map_bytes)
        progress = Progress(self.done + len(heatmaps), digest.hexdigest())
        write_progress(self._part, progress)
        self.done, self._digest = progress.done, digest

    def leave_out(self, files: Sequence[str]) -> None:
        """Make no maps of some images, such as those that cannot be decoded: they go from `files` to `left_out`.

        Raises:
            TypeError, ValueError: not files whose maps are missing, or all that there are; the writer is closed.
            OSError: as in `append`.
        """
        self._open_array()
        asked = set(texts("files", files, "paths"))
        unknown = sorted(asked - set(self.files[self.done :]))
        if unknown:
            raise ValueError(f"files must be such as have no map yet, got {unknown[0]!r}")
        write_facts(self._part, facts := self._facts.without(asked))
        self._facts = facts

    def finish(self) -> HeatmapStore:
        """Move the store to its path, and open it. The writer is closed then.

        Raises:
            ValueError: maps are missing or not as they were written, the writer is closed, or there is something at the
                path by now.
            OSError: the disk is full or fails; it names the file.
        """
        self._open_array()
        if self.done < len(self):
            there = f"{self._part} has {self.done} of {len(self)} maps"
            raise ValueError(f"{there}, the next is of {self.files[self.done]!r}")
        _refuse_existing(self.path)
        if self.left_out:
            self._lay_out()
        digest = digest_of(map_array(self._part, self._facts)).hexdigest()
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

    def _lay_out(self) -> None:
        """Give the array the header and the length of all its maps. Those that are in it stay."""
        array = self._open_array()
        with errors_name(self._part / ARRAY):
            _write(array, npy_header(self._facts), 0)
            os.ftruncate(array, self._start + len(self) * self._facts.map_bytes)
            os.fsync(array)

    def _go_on(self) -> tuple[int, hashlib._Hash]:
        """How many maps are there, and their digest; if the store is new, it is made ready for the first."""
        begun = read_begun(self._part)
        if begun is None:
            self._begin()
            return 0, hashlib.sha256()
        there, progress = begun
        same_facts(self._part, there, self._facts)
        self._facts = replace(there, sha256=None)
        maps = map_array(self._part, self._facts, begun=True)
        self._start, digest = maps.offset, hashlib.sha256()
        for piece in self._pieces(progress.done * self._facts.map_bytes):
            digest.update(piece)
        self._same_maps(progress.done, digest.hexdigest(), progress.sha256)
        return progress.done, digest

    def _pieces(self, size: int) -> Iterator[bytes]:
        """So many bytes of the maps. They are read, as a mapped file on a failing disk would end the process."""
        array, end = self._open_array(), self._start + size
        with errors_name(self._part / ARRAY):
            for start in range(self._start, end, AT_ONCE):
                yield os.pread(array, min(AT_ONCE, end - start), start)

    def _same_maps(self, count: int, digest: str, expected: str) -> None:
        if digest != expected:
            raise ValueError(
                f"{self._part / ARRAY} has changed since it was written: the sha256 of its first {count} maps is "
                f"{digest}, expected {expected}; {REMEDY}"
            )

    def _begin(self) -> None:
        """store.json comes last: without it, there is nothing to go on with."""
        size = os.fstat(self._open_array()).st_size
        if (self._part / PROGRESS).exists() or any(piece.strip(b"\0") for piece in self._pieces(size)):
            raise ValueError(f"{self._part} has maps but no {FACTS}: move it away")
        self._lay_out()
        write_facts(self._part, self._facts)
        sync_folder(self._part.parent)

    def _check(self, heatmaps: np.ndarray) -> None:
        g, left, at = self._facts.grid, len(self) - self.done, self.files[min(self.done, len(self) - 1)]
        if not isinstance(heatmaps, np.ndarray):
            raise TypeError(f"heatmaps from {at!r} on must be a NumPy array, got {type(heatmaps)}")
        array_module(heatmaps, f"heatmaps from {at!r} on")
        if heatmaps.dtype.name not in FLOATS:
            raise TypeError(f"heatmaps from {at!r} on must be {', '.join(FLOATS)}, got {heatmaps.dtype}")
        if heatmaps.ndim != 3 or heatmaps.shape[1:] != (g, g):
            raise ValueError(f"heatmaps from {at!r} on must be [n, {g}, {g}], got {list(heatmaps.shape)}")
        if len(heatmaps) > left:
            raise ValueError(f"{len(heatmaps)} heatmaps for {left} files, the last of which is {self.files[-1]!r}")
        check_finite(heatmaps, self.files, self.done)


def _dtype_name(dtype: str | np.dtype) -> str:
    """By any library's name of it; `Facts` refuses what it does not know."""
    try:
        return dtype_name(dtype)
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
    except (FileExistsError, NotADirectoryError):
        in_the_way = next(place for place in (part, *part.parents) if os.path.lexists(place))
        raise ValueError(f"{part} cannot be made: {in_the_way} is no folder; nothing was overwritten") from None
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
