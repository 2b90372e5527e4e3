"""A file that keeps what an archive holds, because going through all its headers takes long."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from dali_ops.sources.archives.listing import Listing
from dali_ops.sources.archives.shard_files import ShardFile
from dalimix.support.paths import errors_name, local_path

VERSION = 2
COLUMNS = ("shard", "offset", "length", "labels")
NPZ = b"PK\x03\x04"
MEMBERS = (*COLUMNS, "facts", "names", "corrupt")


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
        TypeError, ValueError: the file is something else, or damaged, and so is not overwritten; or its folder is not
            there.
        OSError: it cannot be read or written; it names the file.
    """
    if index is None:
        return make()
    path = local_path(index, "index")
    if path.is_symlink():
        path = Path(os.path.realpath(path))  # which is then replaced, and not the link
    if not path.parent.is_dir():
        raise ValueError(f"the index cannot be {path}, because {path.parent} is not a folder")
    facts = {"version": VERSION, **options, "shards": [[shard.name, shard.size, shard.modified] for shard in shards]}
    listing = _read(path, facts, [shard.size for shard in shards]) if path.exists() else None
    if listing is None:
        listing = make()
        _write(path, facts, listing)
    return listing


def _read(path: Path, facts: dict[str, Any], sizes: Sequence[int]) -> Listing | None:
    """None: it is one of other facts."""
    content = _content(path)
    try:
        return _parsed(content, facts, sizes)
    except Exception as error:  # damage to an npz can raise anything, from zipfile's errors to SyntaxError
        if _looks_like_ours(content):
            told = "is a damaged index of an archive: remove it, or give another path"
        else:
            told = "is something else than the index of an archive, and is not overwritten: give another path"
        raise ValueError(f"index={str(path)!r} {told}") from error


def _looks_like_ours(content: bytes) -> bool:
    """Members of an npz have their names in it as they are."""
    return content.startswith(NPZ) and sum(f"{name}.npy".encode() in content for name in MEMBERS) > 1


def _content(path: Path) -> bytes:
    """The whole file, but only if it begins as an npz does: a data set that is given by mistake may be large."""
    if not path.is_file():
        raise ValueError(f"index must be a file, got {path}")
    with errors_name(path), path.open("rb") as file:
        start = file.read(len(NPZ))
        return start + file.read() if start == NPZ else start


def _parsed(content: bytes, facts: dict[str, Any], sizes: Sequence[int]) -> Listing | None:
    """The digest is over everything, and so tells an edit from what was written; the rest is looked at all the same."""
    with np.load(BytesIO(content), allow_pickle=False) as kept:
        there = _value(kept["facts"])
        if not isinstance(there, dict) or "version" not in there or not isinstance(there.get("shards"), list):
            raise ValueError("it does not say of what it is")
        if there != facts:
            return None
        members = {name: kept[name] for name in MEMBERS}
        if kept["sha256"].tobytes() != digest_of(members):
            raise ValueError("its sha256 is of something else")
    columns = {name: members[name] for name in COLUMNS}
    listing = Listing(_value(members["names"]), **columns, corrupt=_value(members["corrupt"]))
    listing.check(sizes)
    return listing


def _write(path: Path, facts: dict[str, Any], listing: Listing) -> None:
    """In one step, under a name that no other process uses."""
    texts = {"facts": facts, "names": listing.names, "corrupt": listing.corrupt}
    members = {**listing.columns, **{name: _array(value) for name, value in texts.items()}}
    arrays: dict[str, Any] = {**members, "sha256": np.frombuffer(digest_of(members), np.uint8)}
    new = path.with_name(f".{path.name}.{uuid4().hex}")
    with errors_name(path, new):
        try:
            with new.open("xb") as out:
                np.savez_compressed(out, **arrays)
                out.flush()
                os.fsync(out.fileno())
            os.replace(new, path)
        finally:
            new.unlink(missing_ok=True)


def digest_of(members: dict[str, np.ndarray]) -> bytes:
    """SHA-256 of what all arrays are and hold."""
    digest = sha256()
    for name in MEMBERS:
        array = members[name]
        digest.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.digest()


def _array(value: Any) -> np.ndarray:
    return np.frombuffer(json.dumps(value).encode("ascii"), np.uint8)


def _value(array: np.ndarray) -> Any:
    return json.loads(array.tobytes())
