"""DALI's decorators with types, which they lack: a wrong call of what they decorate would pass every checker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from nvidia.dali import pipeline_def
from nvidia.dali.pipeline import Pipeline, do_not_convert

F = TypeVar("F", bound=Callable[..., Any])


def plain_python(function: F) -> F:
    """`do_not_convert`: the function stays as it is, also where DALI rewrites a pipeline for its conditionals."""
    kept: F = do_not_convert(function)
    return kept


def pipeline_of(graph: Callable[..., Any]) -> Callable[..., Pipeline]:
    """`pipeline_def`: makes a pipeline of this graph, with the arguments of both."""
    made: Callable[..., Pipeline] = pipeline_def(graph)
    return made
