"""Twin of kernels/compose.cu.

It works through bands of rows of the whole batch, small enough to stay in the processor's cache; there is no loop
over samples, so mixing per sample costs what mixing per batch costs.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from dalimix.mix_plan import MixPlan
from dalimix.reference.paste import Paste

BAND_PIXELS = 1 << 17  # per band, all samples together
Scaling = tuple[tuple[float, ...], tuple[float, ...]]  # scale and bias of every channel


def compose(
    images: np.ndarray,
    plan: MixPlan,
    mirror: np.ndarray | None,
    scaling: Scaling | None,
    dtype: np.dtype,
    layout: str,
    output_layout: str,
) -> np.ndarray:
    """Mix, mirror, normalise, cast and change layout; see `dalimix.compose`."""
    images = channels_last(_mirrored(images, mirror, layout), layout)
    output = np.empty(_shape(images.shape, output_layout), dtype)
    target = channels_last(output, output_layout)
    paste = Paste(plan, images)
    blended = np.flatnonzero(plan.blend != 1)
    for rows in _bands(images.shape):
        mixed = paste(rows)
        if len(blended):
            mixed = _blend(mixed, images, plan, rows, blended, paste)
        _store(mixed, scaling, target[:, rows])
    return output


def channels_last(images: np.ndarray, layout: str) -> np.ndarray:
    """A view [B, H, W, C] of images of either layout."""
    return images if layout == "HWC" else images.transpose(0, 2, 3, 1)


def _shape(shape: tuple[int, ...], layout: str) -> tuple[int, ...]:
    size, height, width, channels = shape
    return (size, height, width, channels) if layout == "HWC" else (size, channels, height, width)


def _bands(shape: tuple[int, ...]) -> Iterator[slice]:
    size, height, width, _ = shape
    step = max(1, BAND_PIXELS // (size * width))
    return (slice(top, min(top + step, height)) for top in range(0, height, step))


def _mirrored(images: np.ndarray, mirror: np.ndarray | None, layout: str) -> np.ndarray:
    if mirror is None or not mirror.any():
        return images
    images, chosen = images.copy(), np.flatnonzero(mirror)
    images[chosen] = np.flip(images[chosen], axis=layout.index("W") + 1)
    return images


def _blend(
    pasted: np.ndarray, images: np.ndarray, plan: MixPlan, rows: slice, blended: np.ndarray, paste: Paste
) -> np.ndarray:
    """Float32 [B, rows, W, C]: λ xᵢ + (1 − λ) xⱼ in the blended images, but for what is pasted."""
    every = len(blended) == len(images)
    chosen = slice(None) if every else blended  # a slice saves a copy
    keep = plan.blend[chosen, None, None, None]
    band = images[:, rows]
    mixed = np.multiply(band[chosen], keep, dtype=np.float32)
    mixed += np.multiply(band[plan.partner[chosen]], np.float32(1) - keep, dtype=np.float32)
    where = paste.shown(rows, blended)
    if where is not None:
        np.copyto(mixed, pasted[chosen], where=where)
    if every:
        return mixed
    output = pasted.astype(np.float32)
    output[chosen] = mixed
    return output


def _store(mixed: np.ndarray, scaling: Scaling | None, target: np.ndarray) -> None:
    """Normalise [B, rows, W, C] and cast it into `target`, a view of the same shape."""
    if mixed.dtype == target.dtype and scaling is None:
        target[:] = mixed
        return
    scale, bias = scaling or ((1.0,) * mixed.shape[-1], (-0.0,) * mixed.shape[-1])  # −0: adding 0 would turn −0 into 0
    for c in range(mixed.shape[-1]):
        plane = np.ascontiguousarray(mixed[..., c])
        if plane.dtype == np.uint8 and target.dtype == np.float16:
            _look_up(plane, scale[c], bias[c], target[..., c])
        else:
            _cast(_normalised(plane, scale[c], bias[c]), target[..., c])


def _normalised(values: np.ndarray, scale: float, bias: float) -> np.ndarray:
    """Float32, rounded after the product and after the sum as the kernel rounds."""
    floats = values.astype(np.float32)
    floats *= np.float32(scale)
    floats += np.float32(bias)
    return floats


def _cast(values: np.ndarray, target: np.ndarray) -> None:
    if target.dtype == np.uint8:  # nearest, ties to even, saturated; NaN becomes 0
        values = np.rint(np.fmin(np.fmax(values, 0), 255))
    with np.errstate(over="ignore"):  # too large for float16 is infinity, as on the GPU
        np.copyto(target, values, casting="unsafe")


def _look_up(plane: np.ndarray, scale: float, bias: float, target: np.ndarray) -> None:
    """uint8 to float16 by table, two pixels at a time: NumPy casts to float16 five times slower."""
    if plane.shape[-1] % 2:
        target[:] = _half_table(scale, bias)[plane]
    else:
        pairs = np.take(_pair_table(scale, bias), plane.view(np.uint16), mode="clip")
        target[:] = pairs.view(np.float16)


@lru_cache(maxsize=64)
def _half_table(scale: float, bias: float) -> np.ndarray:
    """float16 [256]: the normalised value of every byte."""
    return _normalised(np.arange(256), scale, bias).astype(np.float16)


@lru_cache(maxsize=64)
def _pair_table(scale: float, bias: float) -> np.ndarray:
    """uint32 [65536]: the two float16 for every two bytes, in the byte order of this machine."""
    pairs = np.arange(1 << 16, dtype=np.uint16).view(np.uint8)
    return _half_table(scale, bias)[pairs].view(np.uint32)
