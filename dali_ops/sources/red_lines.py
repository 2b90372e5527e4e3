"""DALI's decoders write what fails to stderr, in red, besides raising it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryFile
from typing import IO

RED = b"\x1b[0;31m[ERROR]"
STDERR = 2


@contextmanager
def without_red_lines() -> Iterator[None]:
    """Leave out such lines, where an image is decoded once more to learn which one it was.

    What else is written to stderr meanwhile, by any thread, comes afterwards.
    """
    sys.stderr.flush()
    with TemporaryFile() as written:
        stderr = os.dup(STDERR)
        os.dup2(written.fileno(), STDERR)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(stderr, STDERR)
            os.close(stderr)
            _pass_on(written)


def _pass_on(written: IO[bytes]) -> None:
    written.seek(0)
    for line in written:
        if not line.startswith(RED):
            os.write(STDERR, line)
