"""How pipelines that call Python end, and what is left of a pipeline after a fork.

**The end.** DALI calls our callbacks in threads of its own, and Python's garbage collector may run there. If it finds
that this very pipeline is unreachable, because its owner was part of a reference cycle, DALI's ``Pipeline.__del__``
joins the thread that it runs in, and the process is aborted ("Resource deadlock avoided"). In any thread, the collector
may also run while a lock is held for which a callback of that pipeline is waiting; the join would never end. So a
pipeline that nobody shut down is handed to a thread of ours, which holds no lock and shuts it down.

**Fork.** A child process has none of the threads of its parent: to run a pipeline there, or to shut it down, hangs or
crashes. There, DALI's part of every pipeline is replaced by one that says so.
"""

from __future__ import annotations

import atexit
import ctypes
import logging
import os
import threading
from collections.abc import Callable, Sequence
from functools import cache
from queue import SimpleQueue
from typing import Any, NoReturn
from weakref import WeakSet

from nvidia.dali.pipeline import Pipeline

PATIENCE = 5.0  # seconds, for which the main thread waits until the memory of a pipeline is back
AFTER_FORK = "belongs to another process, and nothing of DALI works after a fork:"
PIPELINE = f"this pipeline {AFTER_FORK} make it in the process that uses it, or start that process by spawn"


class CallbackErrors:
    """What the callbacks of a pipeline raised last; DALI itself passes on nothing but the text.

    Attributes:
        kept: whether somebody is going to take it. An exception holds the frames that it went through, and so DALI's
            memory, and must not lie around.
    """

    def __init__(self) -> None:
        self.kept = False
        self._last: Exception | None = None

    def noted(self, function: Callable[..., Sequence[Any]]) -> Callable[..., Sequence[Any]]:
        """`function`, whose exceptions are kept on their way."""

        def noted(*arrays: Any) -> Sequence[Any]:
            try:
                return function(*arrays)
            except Exception as error:
                self._last = error if self.kept else None
                raise

        return noted

    def take(self) -> Exception | None:
        """The last one, once."""
        last, self._last = self._last, None
        return last


def guard(pipeline: Pipeline) -> CallbackErrors:
    """Let the pipeline end outside of DALI's threads, and not at all in a child process.

    Returns:
        Where its callbacks leave what they raise.
    """
    if not isinstance(pipeline, _Guarded):
        pipeline.__class__ = _guarded(type(pipeline))  # type: ignore[arg-type]  # mypy doubts that a type is hashable
        pipeline._callback_errors = CallbackErrors()
        _pipelines.add(pipeline)
        _undertaker.start()
    return pipeline._callback_errors


def shut_down(pipeline: Pipeline) -> None:
    """End a pipeline now, in the calling thread, which must not be one of DALI's."""
    pipeline._shutdown()


class OneProcess:
    """The process that was the first to use something of DALI's, and is the only one that can.

    Args:
        what: it is called, in the message.
        remedy: what to do instead.
    """

    def __init__(self, what: str, remedy: str) -> None:
        self._message, self._process = f"{what} {AFTER_FORK} {remedy}", 0

    def check(self) -> None:
        """Raises RuntimeError: in another process."""
        self._process = self._process or os.getpid()
        if self._process != os.getpid():
            raise RuntimeError(self._message)


class _Guarded:
    """The part of a guarded pipeline's class that differs from DALI's."""

    _pipe: Any  # DALI's part: threads and memory
    _shutdown: Callable[[], None]
    _callback_errors: CallbackErrors

    def __del__(self) -> None:
        held, self._pipe = [self._pipe], None
        if held[0] is not None:
            _undertaker.take(held)
        self._shutdown()  # DALI keeps a list of pipelines, too


@cache
def _guarded(kind: type[Pipeline]) -> type[Pipeline]:
    return type(kind.__name__, (_Guarded, kind), {"__module__": kind.__module__, "__doc__": kind.__doc__})


class _Undertaker:
    """The thread that shuts pipelines down."""

    def __init__(self) -> None:
        self.queue: SimpleQueue[tuple[list[Any], Any] | None] = SimpleQueue()  # its put may be interrupted by another
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def start(self) -> None:
        """Not when a pipeline is handed over: the collector may run where no thread can be started.

        One thread, also if pipelines are made in several: `stop` ends and joins no more than one.
        """
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="dalimix-pipelines", daemon=True)
                self._thread.start()

    def take(self, held: list[Any]) -> None:
        """Shut down what the list holds; nobody else may, so that it goes with the list.

        The main thread waits for it, as memory is expected back after a ``del``; but not for ever, see above.
        """
        over = threading.Lock()
        over.acquire()
        self.queue.put((held, over))
        if threading.get_ident() == threading.main_thread().ident:
            over.acquire(timeout=PATIENCE)

    def _work(self) -> None:
        while (job := self.queue.get()) is not None:
            held, over = job
            try:
                held.pop().Shutdown()
            except Exception:
                logging.getLogger(__name__).exception("a pipeline of DALI did not shut down")
            finally:
                over.release()

    def stop(self) -> None:
        """After what was handed over before."""
        if self._thread is not None:
            self.queue.put(None)
            self._thread.join()


class _Elsewhere:
    """DALI's part of a pipeline in a child process of the one that made it."""

    def Shutdown(self) -> None:  # noqa: N802  (as DALI calls it)
        """There is nothing here."""

    def __getattr__(self, name: str) -> NoReturn:
        raise RuntimeError(PIPELINE)


def _at_exit() -> None:
    """Shut all pipelines down before DALI does, while the thread still takes those that the collector finds."""
    for pipeline in list(_pipelines):
        pipeline._shutdown()
    _undertaker.stop()


def _after_fork() -> None:
    """In the child: nothing that has threads in the parent is ever freed, since freeing it would join them."""
    global _undertaker
    _keep_for_ever(_undertaker)
    _undertaker = _Undertaker()
    for pipeline in list(_pipelines):
        _pipelines.discard(pipeline)
        if pipeline._pipe is not None:
            _keep_for_ever(pipeline._pipe)
            pipeline._pipe = _Elsewhere()


def _keep_for_ever(thing: Any) -> None:
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


_pipelines: WeakSet[Any] = WeakSet()  # that are guarded and of this process
_undertaker = _Undertaker()
atexit.register(_at_exit)
os.register_at_fork(after_in_child=_after_fork)
