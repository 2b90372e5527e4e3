"""The files that an archive consists of, found by path, pattern or list."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from glob import glob

BRACES = re.compile(r"\{([^{}]*)\}")
RANGE = re.compile(r"(\d+)\.\.(\d+)")
COMPRESSED = {"gzip": b"\x1f\x8b", "bzip2": b"BZh", "xz": b"\xfd7zXZ", "zstd": b"\x28\xb5\x2f\xfd", "zlib": b"\x78\x9c"}
Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


@dataclass(frozen=True)
class ShardFile:
    """One file of an archive, as it was when it was found.

    Attributes:
        name: path relative to the deepest folder that holds all shards, with forward slashes.
        path: the absolute path.
        size: in bytes.
        modified: when it was written last, in nanoseconds.
    """

    name: str
    path: str
    size: int
    modified: int


def find_shards(paths: Paths) -> list[ShardFile]:
    """The shards that `paths` means.

    Args:
        paths: one path or pattern, such as ``"train-{0000..0146}.tar"`` or ``"train-*.tar"``, whose files come in the
            order in which the braces count, and sorted where there are stars; or a sequence of paths, in its order.

    Raises:
        TypeError: not that.
        ValueError: no path, one that is no file, a pattern that fits none, or a file that comes twice.
    """
    found = [os.path.abspath(path) for path in _listed(paths)]
    if not found:
        raise ValueError("shards must be one path at least, got none")
    missing = [path for path in found if not os.path.isfile(path)]
    if missing:
        raise ValueError(
            f"no file is, or fits, {missing[0]}; {len(missing)} of {len(found)} shards are missing on disk"
        )
    twice = [path for path, count in Counter(found).items() if count > 1]
    if twice:
        raise ValueError(f"{twice[0]} comes twice among the shards")
    folder = os.path.commonpath([os.path.dirname(path) for path in found])
    return [_shard(path, folder) for path in found]


def _listed(paths: Paths) -> list[str]:
    if isinstance(paths, (str, os.PathLike)):
        path = os.fspath(paths)
        return [path] if os.path.isfile(path) else [file for one in expand_braces(path) for file in _fits(one)]
    if not isinstance(paths, Sequence) or not all(isinstance(path, (str, os.PathLike)) for path in paths):
        raise TypeError(f"shards must be a path, a pattern or a sequence of paths, got {paths!r:.100}")
    return [os.fspath(path) for path in paths]


def _fits(pattern: str) -> list[str]:
    """Files; what is called just so, if there are none: either it is there or it will be missed."""
    return sorted(glob(pattern)) or [pattern]


def expand_braces(pattern: str) -> list[str]:
    """Every text that a pattern means, as in a shell: ``{08..11}`` counts, ``{a,b}`` names alternatives; not nested."""
    braces = next((one for one in BRACES.finditer(pattern) if "," in one[1] or RANGE.fullmatch(one[1])), None)
    if braces is None:
        return [pattern]
    start, end = pattern[: braces.start()], pattern[braces.end() :]
    return [text for choice in _choices(braces[1]) for text in expand_braces(start + choice + end)]


def _choices(inner: str) -> list[str]:
    numbers = RANGE.fullmatch(inner)
    if numbers is None:
        return inner.split(",")
    first, last = int(numbers[1]), int(numbers[2])
    padded = any(text.startswith("0") and len(text) > 1 for text in numbers.groups())
    width = max(map(len, numbers.groups())) if padded else 0
    step = 1 if first <= last else -1
    return [f"{number:0{width}}" for number in range(first, last + step, step)]


def _shard(path: str, folder: str) -> ShardFile:
    facts = os.stat(path)
    return ShardFile(os.path.relpath(path, folder).replace(os.sep, "/"), path, facts.st_size, facts.st_mtime_ns)


def refuse_compressed(shard: ShardFile, start: bytes) -> None:
    """Raises ValueError: a compressed file begins so."""
    kind = next((kind for kind, magic in COMPRESSED.items() if start.startswith(magic)), None)
    if kind is not None:
        raise ValueError(f"{shard.path} is compressed ({kind}), but images are read where they lie: decompress it")
