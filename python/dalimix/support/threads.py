"""The threads among which the loops for the CPU cut a batch.

Whoever knows how many there may be says so by `threads`; otherwise the calling thread does everything. The loops give
up the GIL, so that threads of Python suffice. Results do not depend on their number.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
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
    """Call ``loop(first, last, *arguments, output)`` for all samples of `output`, in as many parts as are worth it."""
    size = len(output)
    parts = max(1, min(_allowed.count, size, output.nbytes // WORTHWHILE))
    bounds = [(size * part // parts, size * (part + 1) // parts) for part in range(parts)]
    begun = [_begun(loop, *between, *arguments, output) for between in bounds[:-1]]
    loop(*bounds[-1], *arguments, output)
    for part in begun:
        part.result()


def _begun(loop: Callable[..., None], *arguments: Any) -> Future[None]:
    try:
        return _pool().submit(loop, *arguments)
    except RuntimeError:  # the interpreter is ending, which is when Python starts no more threads
        loop(*arguments)
        done: Future[None] = Future()
        done.set_result(None)
        return done


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count(), "dalimix")


os.register_at_fork(after_in_child=_pool.cache_clear)  # the threads stay behind
