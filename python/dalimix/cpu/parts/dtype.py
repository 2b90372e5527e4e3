"""The loops of kernels/include/dtype.cuh for the CPU: exact ways from the elements of images to float32 and back.

Numba has no float16 on the CPU, so its images are handed over as their bits, uint16, and the processor converts them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

FLOAT = ir.FloatType()


def bits(images: np.ndarray) -> np.ndarray:
    """Return the images as the loops take them."""
    return images.view(np.uint16) if images.dtype == np.float16 else images


@intrinsic
def to_float(context: Any, value: Any) -> Any:
    """Return the float32 of an element."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if value == types.uint8:
            return builder.uitofp(arguments[0], FLOAT)
        return (
            builder.fpext(builder.bitcast(arguments[0], ir.HalfType()), FLOAT)
            if value == types.uint16
            else arguments[0]
        )

    return types.float32(value), code


@intrinsic
def from_float(context: Any, value: Any, like: Any) -> Any:
    """Return the element of a float32, of the type of `like`."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if like == types.uint8:
            return _byte(builder, arguments[0])
        half = like == types.uint16
        return builder.bitcast(builder.fptrunc(arguments[0], ir.HalfType()), ir.IntType(16)) if half else arguments[0]

    return like(value, like), code


def _byte(builder: Any, value: Any) -> Any:
    """Nearest, ties to even, saturated; NaN becomes 0."""
    low, high = ir.Constant(FLOAT, 0.0), ir.Constant(FLOAT, 255.0)
    value = builder.select(builder.fcmp_ordered(">", value, low), value, low)
    value = builder.select(builder.fcmp_ordered("<", value, high), value, high)
    return builder.fptoui(builder.call(builder.module.declare_intrinsic("llvm.rint", [FLOAT]), [value]), ir.IntType(8))
