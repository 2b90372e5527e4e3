"""Paths as people write them, and disk errors that say which file they are about."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dalimix.support.lists import listed

URL = re.compile(r"\s*(pipe:|[A-Za-z][A-Za-z0-9+.-]+:/)")  # one slash: pathlib makes one of two


def local_path(given: Any, name: str = "path") -> Path:
    """Return the path of something on this machine; ``~`` and variables are replaced, unless a file has that very name.

    Args:
        given: a string, bytes or a path object.
        name: the argument's name, for the message.

    Raises:
        TypeError: it is not a path.
        ValueError: a URL, an empty string, or a name that no file can have.
    """
    return Path(local_text(given, name))


def local_text(given: Any, name: str = "path") -> str:
    """Do as `local_path`, but return a string, as it was written. The disk is read only if the path is not plain."""
    if not isinstance(given, (str, bytes, os.PathLike)):
        raise TypeError(f"{name} must be a path, got {given!r:.100}")
    path = os.fsdecode(given)
    if _is_plain(path):
        return path
    if not path or "\0" in path or not _can_be_written(path):
        raise ValueError(f"{name} must be a path, got {path!r:.100}")
    if is_url(path):
        remedy = "download it, or mount what has it"
        raise ValueError(f"{name} must be a path on this machine, got the URL {path!r:.200}: {remedy}")
    if (path.startswith("~") or "$" in path) and not os.path.lexists(path):
        return os.path.expanduser(os.path.expandvars(path))
    return path


def is_url(path: str) -> bool:
    """Whether a string is a URL, or a command of WebDataset's, and no file has that very name."""
    return URL.match(path) is not None and not os.path.lexists(path)


def local_texts(name: str, given: Any) -> list[str]:
    """Do as `local_text` for each of many: a list, an array, a generator."""
    paths = enumerate(listed(name, given, "paths"))
    return [path if type(path) is str and _is_plain(path) else local_text(path, f"{name}[{k}]") for k, path in paths]


def _is_plain(path: str) -> bool:
    """Whether there is nothing to replace or refuse; a quick test, because data sets have millions of paths."""
    return path.isascii() and path[:1] not in ("", "~") and not (":" in path or "$" in path or "\0" in path)


def _can_be_written(path: str) -> bool:
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        return False
    return True


@contextmanager
def errors_name(file: str | os.PathLike[str], draft: str | os.PathLike[str] | None = None) -> Iterator[None]:
    """Let an OSError from within name the `file`: those of a full disk name none, and others the draft of it."""
    try:
        yield
    except OSError as error:
        if error.errno is None or str(error.filename) not in ("None", str(draft)):
            raise
        raise OSError(error.errno, error.strerror, os.fspath(file)) from error
