"""Functions that torch.compile leaves alone."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def uncompiled(function: Callable[P, R]) -> Callable[P, R]:
    """Return the function in a form that runs outside of the graph when `torch.compile` compiles the code around it.

    The graph breaks there, which ``fullgraph=True`` forbids. `torch.compiler.disable` does the same, but imports the
    compiler, which takes seconds, even if nothing is compiled.
    """
    disabled: list[Callable[P, R]] = []  # made once; not by functools.cache, about which the compiler warns

    @wraps(function)
    def outside(*args: P.args, **kwargs: P.kwargs) -> R:
        if "torch._dynamo" not in sys.modules:
            return function(*args, **kwargs)
        if not disabled:
            disabled.append(_disabled(function))
        return disabled[0](*args, **kwargs)

    return outside


def _disabled(function: Callable[P, R]) -> Callable[P, R]:
    import torch

    made: Callable[P, R] = torch.compiler.disable(function)
    return made
