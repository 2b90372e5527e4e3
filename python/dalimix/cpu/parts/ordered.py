"""The loops of kernels/include/ordered.cuh for the CPU."""

from __future__ import annotations

import numpy as np


def ordered(values: np.ndarray) -> np.ndarray:
    """Unsigned integers in the order of the floats, float32 or float64, because they sort faster; NaN is below all."""
    kind = np.dtype(f"u{values.itemsize}").type
    sign = kind(1 << 8 * values.itemsize - 1)
    bits = values.view(kind)
    bits = np.where(bits == sign, kind(0), bits)  # −0 is 0
    keys = np.where(bits & sign, ~bits, bits | sign)
    ordered: np.ndarray = np.where(np.isnan(values), kind(0), keys)
    return ordered
