"""A Python thread that wants the interpreter for itself, as a busy training loop may."""

from __future__ import annotations

import time
from threading import Thread
from types import TracebackType


class BusyGil:
    """``with BusyGil() as busy``: meanwhile a thread of pure Python holds the GIL whenever it can.

    Whoever wants the GIL then waits for it until the interpreter takes it away, after ``sys.getswitchinterval()``.
    """

    def __init__(self) -> None:
        self._stopped = False
        self._thread = Thread(target=self._work, name="BusyGil", daemon=True)

    def __enter__(self) -> BusyGil:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._stopped = True
        self._thread.join()

    def _work(self) -> None:
        while not self._stopped:
            pass

    def cpu_seconds(self) -> float:
        """CPU time of the thread until now, while it runs."""
        assert self._thread.ident is not None  # it was started
        return time.clock_gettime(time.pthread_getcpuclockid(self._thread.ident))
