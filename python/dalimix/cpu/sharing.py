"""Cuts a batch among threads: as many as `dalimix.support.threads` allows, the calling one among them.

The loops give up the GIL once for a batch, so that threads of Python suffice. Results do not depend on their number.
Nothing here takes a lock, because a signal handler or the garbage collector may call it again in the same thread.
"""

from __future__ import annotations

import _thread  # the other one takes locks
import os
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any

import numpy as np

from dalimix.cpu.parts.turns import FINISHED, begun
from dalimix.support.switch_interval import soon_back
from dalimix.support.threads import allowed

WORTHWHILE = 1 << 19  # bytes of output for a thread; waking it takes some ten microseconds

Work = Callable[[], None]


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
    turns, given = begun(len(output)), (*arguments, output)
    helpers = workers(output) - 1
    soon_back(_share, loop, helpers, turns, given)


def _share(loop: Callable[..., None], helpers: int, turns: np.ndarray, given: tuple[Any, ...]) -> None:
    if not helpers:
        loop(turns, False, *given)
        return
    help_ = _Help(loop, turns, given)
    for _ in range(helpers):
        HELPERS.ask(help_.work)
    try:
        loop(turns, True, *given)
    finally:
        help_.over()
        if turns[FINISHED] < len(given[-1]):  # a thread was stopped by the system, or there was an error
            help_.wait()


class _Help:
    """What other threads do for one batch."""

    def __init__(self, loop: Callable[..., None], turns: np.ndarray, given: tuple[Any, ...]) -> None:
        self._loop, self._turns = loop, turns
        self._given = [given]  # the only place where a thread that begins late would find arrays
        self._begun: list[None] = []
        self._ended: SimpleQueue[BaseException | None] = SimpleQueue()

    def work(self) -> None:
        """Take samples until there are none, in another thread."""
        self._begun.append(None)
        error = None
        try:
            for given in tuple(self._given):
                self._loop(self._turns, False, *given)
        except BaseException as raised:
            error = raised
        self._ended.put(error)

    def over(self) -> None:
        """Let nobody begin any more."""
        self._given.clear()

    def wait(self) -> None:
        """Wait for all that have begun, and raise what one of them raised."""
        errors: list[BaseException | None] = []
        while len(errors) < len(self._begun):  # whoever begins late finds nothing, but counts
            errors.append(self._ended.get())
        for error in filter(None, errors):
            raise error


class _Helpers:
    """Threads that wait for work, as many as there are cores."""

    def __init__(self) -> None:
        self._asked: SimpleQueue[Work] = SimpleQueue()
        self._started = 0

    def ask(self, work: Work) -> None:
        """Let a thread do it, if there is one to be had; it is not waited for."""
        self._asked.put(work)
        if self._started < (os.cpu_count() or 1):
            with suppress(RuntimeError):  # Python or the system starts no more threads
                _thread.start_new_thread(self._serve, ())
                self._started += 1

    def _serve(self) -> None:
        while True:
            self._asked.get()()


HELPERS = _Helpers()


def _begin_anew() -> None:
    global HELPERS
    HELPERS = _Helpers()  # the threads stay behind


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
