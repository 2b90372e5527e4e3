"""How pipelines that call Python end, and what is left of a pipeline after a fork.

**The end.** DALI calls our callbacks in its own threads. Python's garbage collector may run there, and with it whatever
users do when an object goes. If it finds that this very pipeline is unreachable, because its owner was part of a
reference cycle, DALI's ``Pipeline.__del__`` joins the thread that it runs in, and the process is aborted ("Resource
deadlock avoided"). In any thread, the collector may also run while a lock is held for which a callback of that pipeline
is waiting; the join would never end. So all pipelines are handed to a thread of ours, which holds no lock and shuts
them down. Others wait for it where they may, and never forever.

**Fork.** A child process has none of the threads of its parent: to run a pipeline there, or to shut it down, hangs or
crashes. There, DALI's part of every pipeline is replaced by one that raises an error saying so.
"""

from __future__ import annotations

import atexit
import ctypes
import logging
import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, NoReturn
from weakref import WeakSet

from nvidia.dali.pipeline import Pipeline

PATIENCE = 5.0  # seconds to wait until the memory of a pipeline is freed
LAST_PATIENCE = 30.0  # seconds that Python waits for all of them before it ends
GUARDED = "_guarded_by_dalimix"  # attribute of a class of pipelines
SOON = 0.05  # seconds after which Ctrl-C is sent again; a `__del__` is over by then
CLOSED = "this pipeline is closed: Python is ending, or another thread has closed or moved its loader"
AFTER_FORK = "belongs to another process, and nothing of DALI works after a fork:"
PIPELINE = f"this pipeline {AFTER_FORK} make it in the process that uses it, or start that process by spawn"


class Callbacks:
    """The callbacks of one pipeline: where they run, and what they raised last. DALI passes on only its text.

    Attributes:
        kept: whether somebody is going to take what they raise. An exception holds the frames that it passed, and
            so DALI's memory, and must not be left lying around.
    """

    def __init__(self) -> None:
        self.kept = False
        self._last: BaseException | None = None

    def noted(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap `function` so that its exceptions are kept and its thread is known as one of DALI's while it runs."""

        def noted(*arrays: Any) -> Any:
            _in_this_thread().append(self)
            try:
                return function(*arrays)
            except BaseException as error:
                self._last = error if self.kept else None
                raise
            finally:
                _in_this_thread().pop()

        return noted

    def run_here(self) -> bool:
        """Whether one of the callbacks is running in this thread."""
        return self in _in_this_thread()

    def take(self) -> BaseException | None:
        """Return the last exception, once."""
        last, self._last = self._last, None
        return last


def _in_this_thread() -> list[Callbacks]:
    """The callbacks that run in this thread, one inside the other."""
    running: list[Callbacks] = _here.__dict__.setdefault("running", [])
    return running


def guard(pipeline: Pipeline) -> Callbacks:
    """Make the pipeline end outside of DALI's threads, and never in a child process.

    Returns:
        Its callbacks, each of which must go through `Callbacks.noted`.
    """
    if not isinstance(pipeline, _Guarded):
        pipeline.__class__ = _guarded(type(pipeline))
        pipeline._callbacks = Callbacks()
        _pipelines.add(pipeline)
        _undertaker.start()
    callbacks: Callbacks = pipeline._callbacks
    return callbacks


def shut_down(pipeline: Any, reason: str = CLOSED) -> None:
    """Shut a guarded pipeline down and wait for it, except in a callback, for which the pipeline itself has to wait.

    Whoever uses it from then on gets a RuntimeError with the reason.
    """
    held = _taken(pipeline, reason)
    if held:
        _undertaker.take(held, wait=not _in_this_thread())


def is_shut_down(pipeline: Any) -> bool:
    return isinstance(pipeline._pipe, _NoPipe)


def _taken(pipeline: Any, reason: str = CLOSED) -> list[Any]:
    """Take DALI's part out of the pipeline, with its threads and memory; an empty list if it was taken before."""
    pipe, pipeline._pipe = getattr(pipeline, "_pipe", None), _NoPipe(reason)
    return [] if pipe is None or isinstance(pipe, _NoPipe) else [pipe]


class OneProcess:
    """The process that first used something of DALI's, and is the only one that can.

    Args:
        what: its name in the message.
        remedy: what to do instead.
    """

    def __init__(self, what: str, remedy: str) -> None:
        self._message, self._process = f"{what} {AFTER_FORK} {remedy}", 0

    def check(self) -> None:
        """Raise a RuntimeError in another process."""
        self._process = self._process or os.getpid()
        if self._process != os.getpid():
            raise RuntimeError(self._message)


class _Guarded:
    """The part of a guarded pipeline's class that differs from DALI's."""

    def __init_subclass__(cls, **_: Any) -> None:
        """Do nothing: the user's class has already run its own."""

    _callbacks: Callbacks

    def __del__(self) -> None:
        """Hand it over. The main thread waits, as memory is expected back after a ``del``; others might deadlock."""
        try:
            try:
                held = _taken(self)
                if held:
                    _undertaker.take(held, wait=_is_main() and not _in_this_thread())
            finally:
                super().__del__()  # type: ignore[misc]  # DALI's, which finds no threads any more, or the user's
        except KeyboardInterrupt:  # Python would ignore it in here
            _interrupt_soon()


def _is_main() -> bool:
    return threading.get_ident() == threading.main_thread().ident


def _interrupt_soon() -> None:
    later = threading.Timer(SOON, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT))
    later.daemon = True
    with suppress(RuntimeError):  # Python is ending, and no thread can be started
        later.start()


def _guarded(kind: type[Pipeline]) -> type[Pipeline]:
    """Return the guarded class, kept by the class itself, so that both are freed together."""
    made: type[Pipeline] | None = kind.__dict__.get(GUARDED)
    if made is None:
        made = type(kind.__name__, (_Guarded, kind), {"__module__": kind.__module__, "__doc__": kind.__doc__})
        setattr(kind, GUARDED, made)
    return made


class _Undertaker:
    """The thread that shuts pipelines down."""

    def __init__(self) -> None:
        self.queue: SimpleQueue[tuple[list[Any], Any] | None] = SimpleQueue()  # its put may be interrupted by another
        self._thread: threading.Thread | None = None
        self._over = False  # Python is ending
        self._starting = threading.Lock()

    def start(self) -> None:
        """Start the thread. Not when a pipeline is handed over: the collector may run where no thread can be started.

        There is one thread, even if pipelines are made in several: `stop` ends and joins only one.
        """
        with self._starting:
            if self._thread is None and not self._over:
                thread = threading.Thread(target=self._work, name="dalimix-pipelines", daemon=True)
                thread.start()
                self._thread = thread

    def take(self, held: list[Any], wait: bool) -> None:
        """Shut down the pipe in the list. Keep no other reference: it is destroyed where it is popped."""
        if self._over:
            _shut_down_at_exit(held.pop())
            return
        over = threading.Lock()
        over.acquire()
        self.queue.put((held, over))
        if wait:
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
        """Wait for what was handed over before; nothing is handed over any more after that."""
        self._over = True
        if self._thread is not None:
            self.queue.put(None)
            self._thread.join(LAST_PATIENCE)


def _shut_down_at_exit(pipe: Any) -> None:
    """Shut down in the thread that ends Python, when our thread is gone; in other threads, do not free it at all."""
    if _is_main():
        pipe.Shutdown()
    else:
        _keep_for_ever(pipe)


class _NoPipe:
    """What replaces DALI's part of a pipeline that is closed, or belongs to another process."""

    def __init__(self, message: str) -> None:
        self.message = message

    def __bool__(self) -> bool:
        """False, because DALI's ``Pipeline.__del__`` shuts down whatever is true."""
        return False

    def __getattr__(self, name: str) -> NoReturn:
        raise RuntimeError(self.message)


def _at_exit() -> None:
    """Shut all pipelines down before DALI does, while our thread can still take those that the collector finds."""
    for held in map(_taken, list(_pipelines)):
        if held:
            _undertaker.take(held, wait=False)
    _undertaker.stop()


def _after_fork() -> None:
    """In the child, never free what has threads in the parent, since freeing would join them."""
    global _undertaker
    _keep_for_ever(_undertaker)
    _undertaker = _Undertaker()
    for pipeline in list(_pipelines):
        _pipelines.discard(pipeline)
        held = [] if pipeline._pipe is None else _taken(pipeline)
        if held:
            _keep_for_ever(held[0])
            pipeline._pipe = _NoPipe(PIPELINE)


def _keep_for_ever(thing: Any) -> None:
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


_here = threading.local()  # see `_in_this_thread`
_pipelines: WeakSet[Any] = WeakSet()  # the guarded ones of this process
_undertaker = _Undertaker()
atexit.register(_at_exit)
os.register_at_fork(after_in_child=_after_fork)
