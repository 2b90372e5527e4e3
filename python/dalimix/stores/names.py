"""Names of files and models as a store can keep them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from dalimix.support.lists import listed


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


def writable(model: str) -> str:
    """The words for what makes the maps. Raises ValueError: UTF-8 cannot write them."""
    if isinstance(model, str) and not _is_utf8(model):
        raise ValueError(f"model must be text that UTF-8 can write, got {model!r}")
    return model
