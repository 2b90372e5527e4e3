"""The tensors that providers, mixers and losses take: dtypes that torch computes with, and plain memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeGuard, TypeVar

import torch
from torch import Tensor

FLOATING = (torch.float16, torch.bfloat16, torch.float32, torch.float64)  # no float8: hardly anything computes with it
WHOLE = tuple(getattr(torch, f"{sign}int{bits}") for sign in ("", "u") for bits in (8, 16, 32, 64))

F = TypeVar("F", bound=Callable[..., Any])

UNNEST = "hand in torch.stack({}.unbind()), all of one size"


def is_floating(given: Any) -> TypeGuard[Tensor]:
    """Whether `given` is a tensor of floating numbers: not sparse, not nested."""
    return isinstance(given, Tensor) and given.dtype in FLOATING and _is_plain(given)


def is_integer(given: Any) -> TypeGuard[Tensor]:
    """Whether `given` is a tensor of whole numbers: not sparse, not nested."""
    return isinstance(given, Tensor) and given.dtype in WHOLE and _is_plain(given)


def _is_plain(given: Tensor) -> bool:
    return given.layout == torch.strided and not given.is_nested


def same_device(name: str, given: Tensor, others: str, wanted: Tensor, remedy: str = "") -> None:
    """Refuse a tensor that is on another device than `wanted`, which the message calls `others`."""
    if given.device != wanted.device:
        raise ValueError(f"{name} must be on {wanted.device} as {others} are, got {given.device}{remedy}")


def without_gradients(function: F) -> F:
    """`torch.no_grad`, which has no types: a wrong call of what it decorates would pass every checker."""
    kept: F = torch.no_grad()(function)
    return kept
