"""The planners for the CPU, by the names of their methods."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from dalimix.mix_plan import MixPlan

Planner = TypeVar("Planner", bound=Callable[..., MixPlan])
PLANNERS: dict[str, Callable[..., MixPlan]] = {}


def planner(function: Planner) -> Planner:
    """Register `function` under its own name, which is the name of its method."""
    PLANNERS[function.__name__] = function
    return function
