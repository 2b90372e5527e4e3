"""A file that keeps what an archive holds, because going through all its headers takes long."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4
from zipfile import BadZipFile, is_zipfile

import numpy as np

from dali_ops.sources.listing import Listing
from dali_ops.sources.shard_files import ShardFile

VERSION = 1


def kept_listing(
    index: str | os.PathLike[str] | None,
    shards: Sequence[ShardFile],
    options: dict[str, Any],
    make: Callable[[], Listing],
) -> Listing:
    """The listing that a file keeps; or a new one, which replaces what the file kept if that no longer fits.

    It fits if it was made of shards of the same names, sizes and times of change, in that order, with the same options.
    Several processes may do this at the same time: the file is always whole.

    Args:
        index: the file, an npz without pickled objects; None: nothing is kept.
        shards: the files of the archive.
        options: what else the listing follows from, as JSON takes it.
        make: goes through the archive.

    Raises:
        ValueError: the file is not an index, or is damaged, and so is not overwritten; or its folder is not there.
        OSError: it cannot be read or written.
    """
    if index is None:
        return make()
    path = Path(index)
    if not path.parent.is_dir():
        raise ValueError(f"the index cannot be {path}, because {path.parent} is not a folder")
    facts = {"version": VERSION, **options, "shards": [_identity(shard) for shard in shards]}
    listing = _read(path, facts) if path.exists() else None
    if listing is None:
        listing = make()
        _write(path, facts, listing)
    return listing


def _identity(shard: ShardFile) -> list[Any]:
    return [shard.name, shard.size, shard.modified]


def _read(path: Path, facts: dict[str, Any]) -> Listing | None:
    """None: it is one of other facts."""
    try:
        if not is_zipfile(path):
            raise BadZipFile("no npz")
        with np.load(path, allow_pickle=False) as kept:
            if _value(kept["facts"]) != facts:
                return None
            columns = {name: kept[name] for name in ("shard", "offset", "length", "labels")}
            return Listing(_value(kept["names"]), **columns, corrupt=_value(kept["corrupt"]))
    except (BadZipFile, EOFError, KeyError, ValueError, zlib.error) as error:
        raise ValueError(f"{path} is not an index of an archive, or is damaged ({error}): "
                         "remove it, or give another path") from error  # fmt: skip


def _write(path: Path, facts: dict[str, Any], listing: Listing) -> None:
    """In one step, under a name that no other process uses."""
    texts = {"facts": facts, "names": listing.names, "corrupt": listing.corrupt}
    arrays: dict[str, Any] = {**listing.columns, **{name: _array(value) for name, value in texts.items()}}
    new = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        with new.open("xb") as out:
            np.savez_compressed(out, **arrays)
            out.flush()
            os.fsync(out.fileno())
        os.replace(new, path)
    finally:
        new.unlink(missing_ok=True)


def _array(value: Any) -> np.ndarray:
    return np.frombuffer(json.dumps(value).encode("ascii"), np.uint8)


def _value(array: np.ndarray) -> Any:
    return json.loads(array.tobytes())
