"""The loop of kernels/include/subnormals.cuh for the CPU."""

from __future__ import annotations

import numpy as np

from dalimix.cpu.compiled import inlined

SMALLEST_NORMAL = float(np.finfo(np.float32).smallest_normal)


@inlined
def normal(value: float) -> float:
    """Return the value, or 0 where it is a subnormal float32, as on the GPU."""
    return 0.0 if abs(value) < SMALLEST_NORMAL else value
