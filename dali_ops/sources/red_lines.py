"""DALI's decoders write what fails to stderr, in red, besides raising it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from tempfile import TemporaryFile
from threading import Lock
from typing import IO

RED = b"\x1b[0;31m[ERROR]"
STDERR = 2
_ONE_AT_A_TIME = Lock()  # the process has one stderr: two threads that exchange it at once could lose it


@contextmanager
def without_red_lines() -> Iterator[None]:
    """Leave out such lines, where an image is decoded once more to learn which one it was.

    What else is written to stderr meanwhile, by any thread, comes afterwards. Without a stderr there is nothing to do.
    """
    with _ONE_AT_A_TIME, ExitStack() as stack:
        _flush()
        try:
            stderr = os.dup(STDERR)
        except OSError:  # it is closed, as in some services
            yield
            return
        stack.callback(os.close, stderr)
        written = stack.enter_context(TemporaryFile())
        os.dup2(written.fileno(), STDERR)
        try:
            yield
        finally:
            _flush()
            os.dup2(stderr, STDERR)
            _pass_on(written)


def _flush() -> None:
    if sys.stderr is not None:
        sys.stderr.flush()


def _pass_on(written: IO[bytes]) -> None:
    written.seek(0)
    for line in written:
        if not line.startswith(RED):
            os.write(STDERR, line)
