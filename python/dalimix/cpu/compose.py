"""The loops of kernels/compose.cu for the CPU.

They go through bands of rows of the whole batch, small enough to stay in the processor's cache. There is no loop
over samples, so mixing per sample costs the same as mixing per batch.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dalimix.cpu.pixels.blend import Blend
from dalimix.cpu.pixels.finish import Finish, Scaling
from dalimix.cpu.pixels.paste import Paste
from dalimix.cpu.pixels.scratch import Scratch
from dalimix.mix_plan import MixPlan

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
    scratch, paste = Scratch(), Paste(plan, images)
    blend, finish = Blend(plan, images, paste, scratch), Finish(scaling, scratch)
    for rows in _bands(images.shape):
        finish(blend(paste(rows), rows), target[:, rows])
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
