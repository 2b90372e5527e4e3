"""How long a thread waits for the GIL while another one is busy: Python's switch interval, 5 ms."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from threading import local
from typing import Any, TypeVar

SHORT = 97  # microseconds; a number that nobody else chooses, since it tells who chose it

Result = TypeVar("Result")


class _Here(local):
    inside = False


_here = _Here()


def _interval() -> int:
    """Microseconds, as Python keeps them."""
    return round(sys.getswitchinterval() * 1e6)


_usual = _interval()


def soon_back(function: Callable[..., Result], *given: Any) -> Result:
    """Return ``function(*given)``, which gives up the GIL, and gets it back within 0.1 ms, not 5, beside a busy thread.

    The interval belongs to the whole process. So it is short only meanwhile, and a shorter one stays. When one of
    several threads has finished, the others may wait as long as usual. If an interrupt, or whoever puts back what it
    found meanwhile, leaves the short one, the next call puts the usual one back.
    """
    if _here.inside:
        return function(*given)
    _shorten()
    try:
        _here.inside = True
        return function(*given)
    finally:
        _here.inside = False  # first, as an interrupt may come with any call
        _as_usual()


def _shorten() -> None:
    global _usual
    interval = _interval()
    if interval > SHORT:
        _usual = interval
        _set(SHORT)


def _as_usual() -> None:
    if _interval() == SHORT:  # otherwise somebody has chosen another one
        _set(_usual)


def _set(microseconds: int) -> None:
    sys.setswitchinterval((microseconds + 0.5) * 1e-6)  # Python cuts off what is less than a microsecond


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_as_usual)  # what another thread was doing has no end here
