"""From tensors to arrays and back, uncopied."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def as_array(tensor: Tensor) -> Any:
    """Return the tensor as a NumPy or CuPy array; bfloat16, which they do not know, as float32."""
    tensor = tensor.detach().resolve_neg()  # such as the imaginary part of a conjugate
    tensor = tensor.float() if tensor.dtype == torch.bfloat16 else tensor
    if tensor.device.type == "cpu":
        return tensor.numpy()
    import cupy

    return cupy.from_dlpack(tensor)


def as_tensors(arrays: Any) -> Any:
    """Return the array, or the tuple of arrays, as tensors."""
    return tuple(map(torch.from_dlpack, arrays)) if isinstance(arrays, tuple) else torch.from_dlpack(arrays)
