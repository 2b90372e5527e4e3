"""How long a thread waits for the GIL while another one is busy: Python's switch interval, 5 ms."""

from __future__ import annotations

import os
import sys
from math import isclose

SHORT = 1e-4  # seconds

_usual = sys.getswitchinterval()


class ShortSwitchInterval:
    """Let a thread that mixes get the GIL back within 0.1 ms, not 5, when a loop of ours that gave it up has finished.

    The interval belongs to the whole process. So it is short only while something mixes, and it stays as it is if it
    is short already: because the user wants it so, or because another thread mixes, too. When one of several threads
    has finished, the others may wait as long as usual.
    """

    def __enter__(self) -> None:
        global _usual
        usual = sys.getswitchinterval()
        self._before = None if usual < SHORT or _is_ours() else usual
        if self._before is not None:
            _usual = usual
            sys.setswitchinterval(SHORT)

    def __exit__(self, *error: object) -> None:
        if self._before is not None:
            _as_before(self._before)


def _as_before(usual: float) -> None:
    if _is_ours():  # otherwise somebody has chosen another one in the meantime
        sys.setswitchinterval(usual)


def _is_ours() -> bool:
    return isclose(sys.getswitchinterval(), SHORT, rel_tol=0.01)  # Python keeps whole microseconds


def _in_child() -> None:
    """What another thread was mixing while this process was forked has no end here."""
    _as_before(_usual)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
