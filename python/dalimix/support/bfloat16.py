"""bfloat16, for which NumPy, CuPy and DALI have no type, and how each of them has it.

Arrays at the array level have the type that the package ml_dtypes, JAX's, adds to NumPy and CuPy; nothing else needs
that package. Tensors have torch's type. Inside, and in DALI's batches, images in bfloat16 are arrays of their bits,
int16, which DALI's plugins know, unlike uint16; and int16 are no images otherwise.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dalimix.support.packages import missing

NAME = "bfloat16"
BITS: np.dtype = np.dtype(np.int16)


def is_bfloat16(dtype: Any) -> bool:
    """Whether this dtype of an array is the one of ml_dtypes, in this machine's byte order; without that package."""
    return bool(dtype.type.__name__ == NAME and dtype.isnative)


def as_bits(array: Any) -> Any:
    """Return a view of the bits of an array in bfloat16, and any other array as it is."""
    return array.view(BITS) if is_bfloat16(array.dtype) else array


def from_bits(array: Any) -> Any:
    """Return a view in bfloat16 of an array of bits, and any other array as it is.

    Raises:
        ModuleNotFoundError: ml_dtypes is not installed.
    """
    return array.view(numpy_type()) if array.dtype == BITS else array


def numpy_type() -> Any:
    """Return the dtype of arrays in bfloat16.

    Raises:
        ModuleNotFoundError: ml_dtypes is not installed.
    """
    try:
        from ml_dtypes import bfloat16
    except ImportError as error:
        raise missing("bfloat16 in NumPy and CuPy arrays", "ml_dtypes") from error
    return np.dtype(bfloat16)


def widened(bits: np.ndarray) -> np.ndarray:
    """Return the float32 of each of the bits."""
    return (bits.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
