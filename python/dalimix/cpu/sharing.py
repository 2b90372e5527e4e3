"""Cuts a batch among threads: as many as `dalimix.support.threads` allows, the calling one among them.

The loops give up the GIL once for a batch, so that threads of Python suffice. Results do not depend on their number.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cache
from typing import Any

import numpy as np

from dalimix.cpu.parts.turns import FINISHED, begun
from dalimix.support.threads import allowed

WORTHWHILE = 1 << 19  # bytes of output for a thread; waking it takes some ten microseconds


def workers(output: np.ndarray) -> int:
    """Return how many threads are worth it, at most."""
    return max(1, min(allowed(), len(output), output.nbytes // WORTHWHILE))


def share(loop: Callable[..., None], output: np.ndarray, *arguments: Any) -> None:
    """Call ``loop(turns, waits, *arguments, output)`` in as many threads as are worth it; see `parts.turns`.

    Each takes a sample when it has time for one; this one waits for what others have taken. So nobody waits for a
    thread that does not come, because there are none to be had or another one holds the GIL. At the end nobody works on
    the output any more. A thread that is still waiting for the GIL may refer to the arrays a little longer, without
    looking at them: their memory is free when it has the GIL.
    """
    size = len(output)
    turns = begun(size)
    helpers = workers(output) - 1
    if not helpers:
        loop(turns, False, *arguments, output)
        return
    left = [(*arguments, output)]  # the only place where a thread that begins late would find arrays

    def work(waits: bool = False) -> None:
        for given in tuple(left):
            loop(turns, waits, *given)

    others = [other for _ in range(helpers) if (other := _begun(work)) is not None]
    try:
        work(waits=True)
    finally:
        left.clear()
        if turns[FINISHED] < size:  # a thread was stopped by the system, or there was an error
            working = [other for other in others if not other.cancel()]
            wait(working)
    if turns[FINISHED] < size:
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
