"""How many threads the loops for the CPU may cut a batch among.

Whoever knows it says so by `threads`; otherwise the calling thread does everything.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import local


class _Allowed(local):
    count = 1


_allowed = _Allowed()


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let the loops that this thread calls cut their batches among `count` threads."""
    before, _allowed.count = _allowed.count, max(1, count)
    try:
        yield
    finally:
        _allowed.count = before


def allowed() -> int:
    """Return how many threads the loops that this thread calls may use."""
    return _allowed.count
