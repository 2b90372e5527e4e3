"""Dtypes by their names, including bfloat16, which NumPy does not know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dalimix.pixels import BFLOAT16, image_dtype

if TYPE_CHECKING:
    import torch


def is_bfloat16(given: Any) -> bool:
    """Whether `given` names bfloat16: as a string, or as a dtype of torch or of a library that adds it to NumPy."""
    named = isinstance(given, (str, np.dtype)) or type(given).__module__ == "torch"
    return named and str(given).removeprefix("torch.") in BFLOAT16


def autocast_dtype(given: Any) -> torch.dtype | None:
    """Return the dtype that a model is to run in; None: whatever is set around the call.

    Raises:
        ValueError: it is neither float16 nor bfloat16.
    """
    if given is None:
        return None
    import torch

    if is_bfloat16(given):
        return torch.bfloat16
    if _is_float16(given):
        return torch.float16
    raise ValueError(f"autocast must be torch.float16, torch.bfloat16 or None, got {given!r}")


def _is_float16(given: Any) -> bool:
    try:
        return image_dtype(given) == np.float16
    except TypeError:
        return False
