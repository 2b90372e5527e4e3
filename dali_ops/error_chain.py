"""Errors of functions that a pipeline calls, told together with DALI's."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import suppress
from traceback import walk_tb
from typing import Any

CAUSE: Any = BaseException.__dict__["__cause__"]  # also of classes that refuse to be changed
SUSPENDED = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


def with_first_cause(error: BaseException, of_dali: BaseException) -> BaseException:
    """`error`, which a user's function raised, with DALI's error where its chain of causes begins.

    So what it was raised from is told, too. An error that is raised again and again has DALI's last one.
    """
    *_, first = chain(error)
    CAUSE.__set__(first, of_dali)
    of_dali.of_dali = True  # type: ignore[attr-defined]
    return error


def let_go(error: BaseException) -> None:
    """Forget what the frames of `error` and its causes hold: DALI's memory, for as long as somebody keeps the error.

    Not those of generators and coroutines, which would end by it.
    """
    for link in chain(error):
        for frame, _ in walk_tb(link.__traceback__):
            if not frame.f_code.co_flags & SUSPENDED:
                with suppress(RuntimeError):  # it is at work
                    frame.clear()


def chain(error: BaseException) -> Iterator[BaseException]:
    """The error and those that it was raised from, as a traceback shows them; not that of DALI."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen and not hasattr(link, "of_dali"):
        yield link
        seen.add(id(link))
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
