"""Lists in the forms in which people give them: of Python, arrays, tensors, columns of a table, generators."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from typing import Any

from dalimix.support.numbers import is_whole


def listed(name: str, given: Any, of: str) -> list[Any]:
    """Return a new list of the items that are given.

    Args:
        name: the argument's name, for the message.
        given: any ordered collection; not a string, set or mapping.
        of: what it should hold, in words.

    Raises:
        TypeError: it is something else.
    """
    found = given.tolist() if callable(getattr(given, "tolist", None)) else given
    if isinstance(found, (str, bytes, Mapping, Set)) or not isinstance(found, Iterable):
        raise TypeError(f"{name} must be a list of {of}, got {given!r:.100}")
    return list(found)


def class_indices(name: str, given: Any) -> list[int]:
    """Whole numbers, also those of arrays and tensors [N] and [N, 1].

    Raises:
        TypeError: something else, also floats and truth values; it names the first.
    """
    numbers = enumerate(listed(name, given, "class indices"))
    return [one if type(one) is int else _number(f"{name}[{k}]", one) for k, one in numbers]


def _number(where: str, given: Any) -> int:
    one = given.tolist() if callable(getattr(given, "tolist", None)) else given
    while isinstance(one, (list, tuple)) and len(one) == 1:
        one = one[0]
    if not is_whole(one):
        raise TypeError(f"{where} must be a class index, a whole number, got the {type(one).__name__} {one!r:.100}")
    return int(one)


def texts(name: str, given: Any, of: str = "names") -> list[str]:
    """Texts, also those of an array.

    Raises:
        TypeError: something else; it names the first.
    """
    found = listed(name, given, of)
    wrong = next((k for k, one in enumerate(found) if not isinstance(one, str)), None)
    if wrong is not None:
        raise TypeError(f"{name}[{wrong}] must be text, got {found[wrong]!r:.100}")
    return found
