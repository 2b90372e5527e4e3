"""Twin of kernels/compose.cu.

It works through bands of rows of the whole batch, small enough to stay in the processor's cache; there is no loop
over samples, so mixing per sample costs what mixing per batch costs.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dalimix.mix_plan import MixPlan
from dalimix.reference.finish import Finish, Scaling
from dalimix.reference.paste import Paste

BAND_PIXELS = 1 << 17  # per band, all samples together


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
    paste, finish = Paste(plan, images), Finish(scaling)
    blended = np.flatnonzero(plan.blend != 1)
    for rows in _bands(images.shape):
        mixed = paste(rows)
        if len(blended):
            mixed = _blend(mixed, images, plan, rows, blended, paste)
        finish(mixed, target[:, rows])
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
    paste.paste_into(mixed, pasted[chosen], rows, blended)
    if every:
        return mixed
    output = pasted.astype(np.float32)
    output[chosen] = mixed
    return output
