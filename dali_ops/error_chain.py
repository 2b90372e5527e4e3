"""Errors of functions that a pipeline calls, reported together with DALI's."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import suppress
from traceback import walk_tb
from typing import Any

CAUSE: Any = BaseException.__dict__["__cause__"]  # works for classes that refuse attributes, too
SUSPENDED = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


def with_first_cause(error: BaseException, of_dali: BaseException) -> BaseException:
    """Return `error`, which a user's function raised, with DALI's error at the beginning of its chain of causes.

    So the error's own cause is reported, too. An error that is raised repeatedly has DALI's last one.
    """
    *_, first = chain(error)
    CAUSE.__set__(first, of_dali)
    of_dali.of_dali = True  # type: ignore[attr-defined]
    return error


def let_go(error: BaseException) -> None:
    """Clear what the frames of `error` and its causes hold, which is DALI's memory, in case somebody keeps the error.

    Frames of generators and coroutines are left alone, because clearing would end them.
    """
    for link in chain(error):
        for frame, _ in walk_tb(link.__traceback__):
            if not frame.f_code.co_flags & SUSPENDED:
                with suppress(RuntimeError):  # the frame is being executed
                    frame.clear()


def chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and those that it was raised from, as a traceback shows them; not that of DALI."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen and not hasattr(link, "of_dali"):
        yield link
        seen.add(id(link))
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
