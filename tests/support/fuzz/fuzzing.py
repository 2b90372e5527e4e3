"""Throws what nobody should hand in at callables, one or two arguments at a time, and collects bad answers.

A test gives a table of `Target`s to `fuzz`. Each call takes a fresh base of valid arguments, replaces one or two of
them by hostile values (see hostile.py) or by damaged copies of the valid ones, and must go well or end in a
ValueError or TypeError that names an argument which was replaced.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np

from tests.support.fuzz.hostile import complaint, values

Damage = Callable[[Any, np.random.Generator], Any]
NUMBERS = (float("nan"), float("inf"), -1.0, 0.5, 2.0, 1e30)
WHOLES = (-1, 0, 1, 7, 1 << 20, -(1 << 31), (1 << 31) - 1)


@dataclass(frozen=True)
class Target:
    """A callable to throw things at.

    Attributes:
        name: for the report.
        call: takes the arguments by keyword.
        base: makes fresh arguments that are valid.
        holds: what must be true of a result, where hostile arguments were taken.
        damage: of an argument's valid value makes one that is damaged; None: leave it to hostile values.
        also: other words that may name an argument, by its name.
    """

    name: str
    call: Callable[..., Any]
    base: Callable[[], dict[str, Any]]
    holds: Callable[[Any], bool] = lambda result: True
    damage: Damage | None = None
    also: dict[str, tuple[str, ...]] | None = None


def fuzz(targets: list[Target], calls: int, seed: int) -> list[str]:
    """What is wrong with so many calls, spread over the targets: a line each, the same for the same seed."""
    found: dict[str, str] = {}
    for number in range(calls):
        rng = np.random.default_rng([seed, number])
        target = targets[number % len(targets)]
        base = target.base()
        names = rng.choice(list(base), min(len(base), int(rng.integers(1, 3))), replace=False).tolist()
        replaced = {name: _replacement(target, base[name], rng) for name in names}
        wrong = _answer(target, base | replaced, _words(target, replaced))
        if wrong is not None:
            key = f"{target.name}({', '.join(names)}): {wrong[:60]}"
            found.setdefault(key, f"[{number}] {target.name} with {_shown(replaced)}: {wrong}")
    return list(found.values())


def _replacement(target: Target, valid: Any, rng: np.random.Generator) -> Any:
    if target.damage is not None and rng.random() < 0.5:
        return target.damage(valid, rng)
    hostile = values()
    return hostile[rng.integers(len(hostile))]


def _words(target: Target, replaced: dict[str, Any]) -> list[str]:
    """The names of what was replaced, with the fields of dataclasses."""
    words = [word for name in replaced for word in (name, *(target.also or {}).get(name, ()))]
    return words + [field for value in replaced.values() if isinstance(value, _Late) for field in value.given]


def _answer(target: Target, arguments: dict[str, Any], words: list[str]) -> str | None:
    results: list[Any] = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # NumPy's "invalid value" would be taken in silence
        wrong = complaint(lambda: results.append(target.call(**_made(arguments))), words)
    if wrong is None and results and not target.holds(results[0]):
        return "taken in silence, with a wrong result"
    return wrong


def _made(arguments: dict[str, Any]) -> dict[str, Any]:
    return {name: value() if isinstance(value, _Late) else value for name, value in arguments.items()}


def _shown(replaced: dict[str, Any]) -> str:
    return ", ".join(f"{name}={str(value)[:80]!r}" for name, value in replaced.items())


def damaged(value: Any, rng: np.random.Generator) -> Any:
    """An array with another type, shape, layout or some wrong numbers; a dataclass with one field replaced by such."""
    if isinstance(value, np.ndarray):
        return _ARRAYS[rng.integers(len(_ARRAYS))](value, rng)
    if is_dataclass(value) and not isinstance(value, type):
        given = {field.name: getattr(value, field.name) for field in fields(value) if field.init}
        name = list(given)[rng.integers(len(given))]
        hostile = values()
        other = damaged(given[name], rng) if rng.random() < 0.7 else hostile[rng.integers(len(hostile))]
        return _Late(type(value), given | {name: other})
    hostile = values()
    return hostile[rng.integers(len(hostile))]


@dataclass
class _Late:
    """A dataclass that is made within the call, whose constructor may be the one to answer."""

    make: Callable[..., Any]
    given: dict[str, Any]

    def __call__(self) -> Any:
        return self.make(**self.given)


def _planted(array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One number is wrong."""
    array = array.copy()
    numbers = NUMBERS if array.dtype.kind == "f" else WHOLES
    with np.errstate(all="ignore"):
        number = np.array(numbers[rng.integers(len(numbers))]).astype(array.dtype)
    if array.size:
        array.reshape(-1)[rng.integers(array.size)] = number
    return array


def _of_another_type(array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    kinds = ("float64", "float16", "int64", "int8", "bool", "complex64", "U3", "O", array.dtype.newbyteorder(">"))
    with np.errstate(all="ignore"):
        return array.astype(kinds[rng.integers(len(kinds))])


def _read_only(array: np.ndarray, _: np.random.Generator) -> np.ndarray:
    array = array.copy()
    array.flags.writeable = False
    return array


_ARRAYS: list[Callable[[np.ndarray, np.random.Generator], Any]] = [
    _planted,
    _planted,
    _of_another_type,
    _read_only,
    lambda array, _: array[..., None],
    lambda array, _: array[:-1],
    lambda array, _: array[:0],
    lambda array, _: array[None],
    lambda array, _: array[0],
    lambda array, _: np.repeat(array, 2, axis=0)[::2],
    lambda array, _: np.asfortranarray(array),
    lambda array, _: array.tolist(),
    lambda array, _: np.ma.masked_array(array),
    lambda array, _: np.full_like(array, -1 if array.dtype.kind in "if" else 255),
]
