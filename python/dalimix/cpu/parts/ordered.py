"""The loops of kernels/include/ordered.cuh for the CPU: unsigned integers in the order of the floats, NaN below all."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic

from dalimix.cpu.compiled import inlined


@inlined
def ordered_float32(value: float) -> int:
    bits = _bits(value + np.float32(0))  # −0 becomes 0
    key = ~bits if bits >> np.uint32(31) else bits | np.uint32(1 << 31)
    return np.uint32(key) if value == value else np.uint32(0)


@intrinsic
def _bits(context: Any, value: Any) -> Any:
    """The bits of a float32 as uint32, those of a float64 as uint64."""
    result = types.uint32 if value == types.float32 else types.uint64

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], context.get_value_type(result))

    return result(value), code
