"""Functions that torch.compile leaves as they are."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache, wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def uncompiled(function: Callable[P, R]) -> Callable[P, R]:
    """The function, which runs outside of the graph when `torch.compile` compiles what is around it.

    Like `torch.compiler.disable`; but that imports the compiler, which takes seconds, even where nobody compiles.
    """

    @wraps(function)
    def outside(*args: P.args, **kwargs: P.kwargs) -> R:
        run = _disabled(function) if "torch._dynamo" in sys.modules else function
        return run(*args, **kwargs)

    return outside


@cache
def _disabled(function: Callable[..., Any]) -> Callable[..., Any]:
    import torch

    return torch.compiler.disable(function)
