"""The dtype that a model runs in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dalimix.pixels import dtype_name

if TYPE_CHECKING:
    import torch

NAMES = ("float16", "bfloat16")


def autocast_dtype(given: Any) -> torch.dtype | None:
    """Return the dtype that a model is to run in; None: whatever is set around the call.

    Raises:
        ValueError: it is neither float16 nor bfloat16.
    """
    if given is None:
        return None
    import torch

    name = _name_of(given)
    if name not in NAMES:
        raise ValueError(f"autocast must be torch.float16, torch.bfloat16 or None, got {given!r}")
    dtype: torch.dtype = getattr(torch, name)
    return dtype


def _name_of(given: Any) -> str:
    """Empty if it is no dtype; as text it may be written as torch prints it."""
    try:
        return dtype_name(given.removeprefix("torch.") if isinstance(given, str) else given)
    except TypeError:
        return ""
