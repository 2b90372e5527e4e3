"""Small constant arrays on the device, made once."""

from __future__ import annotations

from functools import cache
from types import ModuleType

from dalimix.arrays import Array


def constant(xp: ModuleType, values: tuple[float, ...], dtype: str) -> Array:
    """`values` as an array of `xp` on the current device."""
    return _kept(xp, values, dtype, current_device(xp))


def current_device(xp: ModuleType) -> int:
    """The number of the current device; -1 for NumPy."""
    return xp.cuda.runtime.getDevice() if xp.__name__ == "cupy" else -1


@cache  # kept for good: a stream may read a constant at any time
def _kept(xp: ModuleType, values: tuple[float, ...], dtype: str, device: int) -> Array:
    array = xp.asarray(values, dtype)
    if device >= 0:  # the first user may be followed by one on another stream
        xp.cuda.get_current_stream().synchronize()
    return array
