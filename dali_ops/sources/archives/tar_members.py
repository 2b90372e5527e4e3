"""The members of a tar, with nothing that is damaged left out in silence."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from typing import IO, NamedTuple

import numpy as np

from dali_ops.sources.archives.shard_files import ShardFile, refuse_other_kind

# what tarfile raises of a bad header that follows a long name, and of numbers that make no sense
NO_HEADER = (tarfile.TarError, ValueError, OverflowError, MemoryError)


class TarMember(NamedTuple):
    """A member of a tar: where its bytes are, and why they cannot be used; an empty text if they can."""

    name: str
    offset: int
    size: int
    problem: str


def tar_members(shard: ShardFile, content: np.ndarray, corrupt: list[str]) -> Iterator[TarMember]:
    """All members but folders, in their order.

    Python's tarfile stops at a damaged header as if the archive ended there, or goes on to the next good one, in
    silence either way. So the headers that it finds are compared with the file: whatever is between two members, or
    after the last, must be zeros, as between archives that were joined.

    Args:
        shard: an uncompressed tar.
        content: uint8 [bytes], what is in it.
        corrupt: gets a line for each stretch of bytes that belongs to no member, and one for a missing end.

    Raises:
        ValueError: the file is compressed.
    """
    if content[257:262].tobytes() != b"ustar":
        refuse_other_kind(shard, content[:6].tobytes())
    end, last = 0, "its beginning"
    with open(shard.path, "rb") as file:
        for header, after in _headers(file, shard.size):
            corrupt += _lost(shard, content, end, header.offset, last)
            if not header.isdir():
                yield TarMember(header.name, header.offset_data, header.size, _problem(header, shard.size))
            end, last = after, header.name
    corrupt += _lost(shard, content, end, shard.size, last) or _unclosed(shard, end, last)


def _headers(file: IO[bytes], size: int) -> Iterator[tuple[tarfile.TarInfo, int]]:
    """Good headers, each with the place where what it heads is over."""
    start = 0
    while start < size:
        file.seek(start)
        try:
            # ignore_zeros: go on after a damaged header, and after the end of an archive that others were joined to
            tar = tarfile.TarFile(fileobj=file, ignore_zeros=True, encoding="utf-8", errors="surrogateescape")
            for header in iter(tar.next, None):
                tar.members.clear()  # type: ignore[attr-defined]  # it would keep them all
                if header.size < 0:
                    raise ValueError("tarfile would go backwards")
                yield header, tar.offset
                if tar.offset > size:  # tarfile would seek there
                    return
            return
        except NO_HEADER:
            start = file.tell()  # behind what it has read, so always further


def _problem(header: tarfile.TarInfo, size: int) -> str:
    if not header.isreg() or header.issparse():
        return "is a link, sparse or something else whose bytes are not in one place"
    if header.size == 0:
        return "has 0 bytes"
    there = size - header.offset_data
    return f"is cut: of its {header.size} bytes {there} are there" if there < header.size else ""


def _lost(shard: ShardFile, content: np.ndarray, start: int, stop: int, last: str) -> list[str]:
    if start >= stop or not content[start:stop].any():  # the first holds nearly always, and costs less
        return []
    return [f"{shard.name}: bytes {start} to {stop}, after {last}, belong to no member: a header is damaged"]


def _unclosed(shard: ShardFile, end: int, last: str) -> list[str]:
    if end == 0:
        return [f"{shard.name}: it has nothing but zeros"]
    if end + tarfile.BLOCKSIZE <= shard.size:
        return []
    return [f"{shard.name}: no zeros close it after {last}: it was cut, and more members may be missing"]
