"""The loops of kernels/include/subnormals.cuh for the CPU."""

from __future__ import annotations

import numpy as np


def normal(values: np.ndarray) -> np.ndarray:
    """The values, with subnormal float32 numbers as 0, as on the GPU."""
    return np.where(np.abs(values) < np.finfo(np.float32).smallest_normal, 0.0, values)
