"""Finding the images that a pipeline could not read or decode: DALI does not say which they were."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from tempfile import TemporaryFile
from threading import Lock
from typing import IO, Any

from nvidia.dali import fn
from nvidia.dali.pipeline import Pipeline

from dali_ops.decorators import pipeline_of
from dali_ops.loader.reading.decoding import whole_image
from dali_ops.sources import Source

OPERATORS = ("decoders", "peek_image_shape", "io.file.read")  # as DALI's errors name them
# What a pipeline raises. DALI's text is decoded in the end, which fails if a name in it is not UTF-8.
Failure = RuntimeError | UnicodeDecodeError
FAILURES = (RuntimeError, UnicodeDecodeError)
LEAVES_OUT = "skip_corrupt=True leaves it out"
REMEDY = f"mend or remove it; {LEAVES_OUT}"
# why a file cannot be read, if another try would fail the same way
DENIED = "may not be read: this user has no permission"
REASONS = {
    errno.ENOENT: "is missing",
    errno.ENOTDIR: "is missing: a file is where its folder would be",
    errno.ENAMETOOLONG: "is missing: no file can have so long a name",
    errno.ELOOP: "is a link that leads back to itself",
    errno.EISDIR: "is a folder",
    errno.ENXIO: "is a pipe, socket or device",
    errno.EACCES: DENIED,
    errno.EPERM: DENIED,
}
RED = b"\x1b[0;31m[ERROR]"  # how lines begin that DALI's decoders write to stderr, besides raising an error
STDERR = 2
_ONE_AT_A_TIME = Lock()  # the process has one stderr: two threads that exchange it at once could lose it


def refuse_unreadable(
    error: Failure, source: Source, numbers: Iterable[int], device_id: int | None, remedy: str = REMEDY
) -> None:
    """Raise a ValueError that names the first image that cannot be read or decoded, if the `error` comes from one."""
    for number, reason in blamed(error, source, numbers, device_id):
        raise ValueError(f"{source.location(number)} {reason}: {remedy}") from error


def blamed(error: Failure, source: Source, numbers: Iterable[int], device_id: int | None) -> Iterator[tuple[int, str]]:
    """Yield those images that cannot be read or decoded, and why, if a pipeline's `error` comes from that.

    Each is read and decoded separately, as the pipeline does it, on the same device; so `numbers` should be few.

    Raises:
        OSError: one cannot be read for a reason that may pass, such as a failing disk or network.
    """
    said = error.object.decode(errors="replace") if isinstance(error, UnicodeDecodeError) else str(error)
    if not said or any(operator in said for operator in OPERATORS):  # Python 3.10 loses a text with such a name
        yield from unreadable(source, numbers, device_id)


def unreadable(source: Source, numbers: Iterable[int], device_id: int | None) -> Iterator[tuple[int, str]]:
    """Yield those images that cannot be read or decoded, and why: each is tried separately.

    Raises:
        OSError: as in `blamed`.
    """
    decoder = None
    for number in numbers:
        decoder = decoder or _decoder(batch_size=1, num_threads=1, device_id=device_id, prefetch_queue_depth=1)
        try:
            decoder.feed_input("encoded", [source.read(number)])
            with without_red_lines():
                decoder.run()
        except OSError as error:
            if error.errno not in REASONS:
                raise
            yield number, REASONS[error.errno]
        except FAILURES:
            decoder = None  # it has failed for good
            yield number, "cannot be decoded as an image"


@pipeline_of
def _decoder() -> Any:
    device = "cpu" if Pipeline.current().device_id is None else "gpu"
    return whole_image(fn.external_source(name="encoded"), device)


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
