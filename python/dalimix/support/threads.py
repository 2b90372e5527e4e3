"""The threads among which the loops for the CPU cut a batch.

Whoever knows how many there may be says so by `threads`; otherwise the calling thread does everything. The loops give
up the GIL, so that threads of Python suffice. Results do not depend on their number.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import cache
from threading import local
from typing import Any

import numpy as np

WORTHWHILE = 1 << 19  # bytes of output for a thread; waking it takes some ten microseconds


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


def share(loop: Callable[..., None], output: np.ndarray, *arguments: Any) -> None:
    """Call ``loop(first, last, *arguments, output)`` for all samples of `output`, in as many parts as are worth it.

    Each thread takes a part when it has time for one, this one too. So nobody waits for a thread that does not come,
    because there are none to be had or another one holds the GIL. At the end nobody works on the output any more.
    """
    size = len(output)
    parts = max(1, min(_allowed.count, size, output.nbytes // WORTHWHILE))
    bounds = [(size * part // parts, size * (part + 1) // parts) for part in range(parts)]
    left = deque(
        (*between, *arguments, output) for between in bounds
    )  # the only place where a late thread finds arrays

    def work() -> None:
        while True:
            try:
                part = left.popleft()
            except IndexError:
                return
            loop(*part)

    others = [other for _ in range(parts - 1) if (other := _begun(work)) is not None]
    try:
        work()
    finally:
        left.clear()
        working = [other for other in others if not other.cancel()]
        wait(working)
    for other in working:
        other.result()


def _begun(work: Callable[[], None]) -> Future[None] | None:
    try:
        return _pool().submit(work)
    except RuntimeError:  # Python or the system starts no more threads
        return None


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count(), "dalimix")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # the threads stay behind
