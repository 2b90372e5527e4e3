"""From tensors to arrays and back, uncopied."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from dalimix.support.bfloat16 import BITS


def as_array(tensor: Tensor) -> Any:
    """Return the tensor as a NumPy or CuPy array; bfloat16, which they do not know, as float32."""
    tensor = tensor.detach().resolve_neg()  # such as the imaginary part of a conjugate
    tensor = tensor.float() if tensor.dtype == torch.bfloat16 else tensor
    if tensor.device.type == "cpu":
        return tensor.numpy()
    import cupy

    return cupy.from_dlpack(tensor)


def as_images(tensor: Tensor) -> Any:
    """Return images as a NumPy or CuPy array; those in bfloat16 as their bits."""
    tensor = tensor.detach().resolve_neg()
    return as_array(tensor.view(torch.int16) if tensor.dtype == torch.bfloat16 else tensor)


def as_image_tensor(array: Any) -> Tensor:
    """Return the tensor of such an array."""
    tensor = torch.from_dlpack(array)
    return tensor.view(torch.bfloat16) if array.dtype == BITS else tensor


def as_tensors(arrays: Any) -> Any:
    """Return the array, or the tuple of arrays, as tensors."""
    return tuple(map(torch.from_dlpack, arrays)) if isinstance(arrays, tuple) else torch.from_dlpack(arrays)
