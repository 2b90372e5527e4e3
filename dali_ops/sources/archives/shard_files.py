"""The files that an archive consists of, found by path, pattern or list."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from glob import glob
from math import prod

from dali_ops.sources.file_kinds import kind_of
from dalimix.support.packages import need
from dalimix.support.paths import local_text, local_texts

BRACES = re.compile(r"\{([^{}]*)\}")
LETTERS = re.compile(r"[A-Za-z]\.\.[A-Za-z](\.\.-?\d+)?")
RANGE = re.compile(r"(-?\d+)\.\.(-?\d+)(?:\.\.(-?\d+))?")
MOST_SHARDS = 1 << 20  # a slip of the pen in braces would otherwise fill the memory with paths
Path = str | bytes | os.PathLike[str]
Paths = Path | Iterable[Path]


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


def find_shards(paths: Paths, name: str = "shards") -> list[ShardFile]:
    """The shards that `paths` means.

    Args:
        paths: one path or pattern, such as ``"train-{0000..0146}.tar"`` or ``"train-*.tar"``, whose files come in the
            order in which the braces count, and sorted where there are stars; or several paths, in their order. ``~``
            and environment variables are replaced, and ``**`` stands for folders at any depth.
        name: of the argument, for messages.

    Raises:
        TypeError: not that.
        ValueError: no path, a URL, one that is no file, a pattern that fits none, or a file that comes twice.
    """
    found = [os.path.abspath(path) for path in _listed(paths, name)]
    if not found:
        raise ValueError(f"{name} must be one path at least, got none")
    missing = [path for path in found if not os.path.isfile(path)]
    if missing:
        told = f"{len(missing)} of {len(found)} {name} are missing on disk"
        raise ValueError(f"no file is, or fits, {missing[0]}{_folder_hint(missing[0])}; {told}")
    twice = [path for path, count in Counter(found).items() if count > 1]
    if twice:
        raise ValueError(f"{twice[0]} comes twice among the {name}")
    folder = os.path.commonpath([os.path.dirname(path) for path in found])
    return [_shard(path, folder) for path in found]


def _listed(paths: Paths, name: str) -> list[str]:
    if isinstance(paths, (str, bytes, os.PathLike)):
        path = local_text(paths, name)
        return [path] if os.path.isfile(path) else [file for one in expand_braces(path, name) for file in _fits(one)]
    if isinstance(paths, (Mapping, Set)) or not isinstance(paths, Iterable):
        raise TypeError(f"{name} must be a path, a pattern or a list of paths, got {paths!r:.100}")
    return local_texts(name, paths)


def _folder_hint(path: str) -> str:
    if not os.path.isdir(path):
        return ""
    some = next((entry for entry in sorted(os.listdir(path)) if not entry.startswith(".")), "shard.tar")
    return f", which is a folder: give its files, such as {os.path.join(path, '*' + os.path.splitext(some)[1])}"


def _fits(pattern: str) -> list[str]:
    """Files; what is called just so, if there are none: either it is there or it will be missed."""
    return sorted(glob(pattern, recursive=True)) or [pattern]


def expand_braces(pattern: str, name: str = "shards") -> list[str]:
    """Every path that a pattern means, as in a shell: ``{08..11}`` counts, ``{a,b}`` names alternatives.

    Raises:
        ValueError: they are more than a data set has, or a brace is not closed.
        ModuleNotFoundError: braceexpand is missing.
    """
    if "{" not in pattern and "}" not in pattern:
        return [pattern]
    need("a pattern with braces", "braceexpand")
    from braceexpand import braceexpand

    count = prod(map(_alternatives, BRACES.findall(pattern)))
    if not count <= MOST_SHARDS:  # nor no number at all, from ends of hundreds of digits
        raise ValueError(f"{name} must be {MOST_SHARDS} files at most, but {pattern!r:.200} may mean {count:.3g}")
    try:
        return list(braceexpand(pattern, escape=False))
    except ValueError:
        remedy = "a list of paths takes braces as they are"
        raise ValueError(f"{name} must close each brace that it opens, got {pattern!r:.200}: {remedy}") from None


def _alternatives(inner: str) -> float:
    """How many of them braces mean, at most."""
    if LETTERS.fullmatch(inner):
        return abs(ord(inner[0]) - ord(inner[3])) + 1.0
    numbers = RANGE.match(inner)
    if numbers is None:
        return inner.count(",") + 1.0
    first, last, step = float(numbers[1]), float(numbers[2]), float(numbers[3] or 1)
    return abs(last - first) // max(1.0, abs(step)) + 1


def _shard(path: str, folder: str) -> ShardFile:
    facts = os.stat(path)
    return ShardFile(os.path.relpath(path, folder).replace(os.sep, "/"), path, facts.st_size, facts.st_mtime_ns)


def refuse_other_kind(shard: ShardFile, start: bytes) -> None:
    """Where a file is not of the format that was expected. Raises ValueError: it is compressed, or a tar."""
    kind = kind_of(start)
    if kind == "tar":
        raise ValueError(f"{shard.path} is a tar, not what was expected: WebDataset reads tars")
    if kind:
        raise ValueError(f"{shard.path} is compressed ({kind}), but images are read where they lie: decompress it")
