"""Launches kernels/compose.cu."""

from __future__ import annotations

from typing import Any

import numpy as np

from dalimix.arrays import Array, array_module
from dalimix.cuda import loader
from dalimix.cuda.constants import constant
from dalimix.cuda.planner import flips
from dalimix.erase_plan import ErasePlan
from dalimix.mix_plan import MixPlan
from dalimix.pixels import DTYPES

THREADS = 128
GROUP = 16  # pixels per thread on the fast path
STRUCTS = {"uint8": "U8", "float16": "F16", "bfloat16": "BF16", "float32": "F32"}  # of include/dtype.cuh
TYPES = {DTYPES[name]: struct for name, struct in STRUCTS.items()}
MAX_BATCH = 65535  # of a CUDA grid's second axis
MAX_CHANNELS = 32  # that a thread can hold in its registers


def compose(
    images: Array,
    plan: MixPlan,
    mirror: Array | None,
    scaling: tuple[tuple[float, ...], tuple[float, ...]] | None,
    dtype: np.dtype,
    layout: str,
    output_layout: str,
    erase: ErasePlan | None = None,
) -> Array:
    """Erase, mix, mirror, normalise, cast and change layout; see `dalimix.compose`."""
    xp = array_module(images)
    images = xp.ascontiguousarray(images)
    size, height, width, channels = _sizes(images, layout)
    shape = (height, width, channels) if output_layout == "HWC" else (channels, height, width)
    output = xp.empty((size, *shape), dtype)
    group = _group(images, output, width, channels)
    kernel = loader.load_kernel(
        "compose",
        IN=TYPES[images.dtype],
        OUT=TYPES[dtype],
        IN_CHW=int(layout == "CHW"),
        OUT_CHW=int(output_layout == "CHW"),
        CHANNELS=channels,
        GROUP=group,
        THREADS=THREADS,
        NORMALISE=int(scaling is not None),
        ERASE=0 if erase is None else 2 if erase.value is None else 1,
        MIRROR=int(mirror is not None),
        TOKENS=int(plan.tokens is not None),
    )
    blocks = (height * width // group + THREADS - 1) // THREADS
    arguments = _arguments(images, plan, mirror, scaling, erase, (height, width))
    kernel((blocks, size), (THREADS,), (*arguments, output))
    return output


def _sizes(images: Array, layout: str) -> tuple[int, int, int, int]:
    """B, H, W, C."""
    size, height, width, channels = (images.shape[("B" + layout).index(axis)] for axis in "BHWC")
    if size > MAX_BATCH:
        raise ValueError(f"images has batch size {size}, more than the {MAX_BATCH} of one launch")
    if channels > MAX_CHANNELS:
        raise ValueError(f"images has {channels} channels, more than the {MAX_CHANNELS} of the kernel")
    return size, height, width, channels


def _group(images: Array, output: Array, width: int, channels: int) -> int:
    """Pixels per thread: 16 if every row starts at a multiple of 16 bytes and all of them fit the registers."""
    aligned = _address(images) % 16 == 0 and _address(output) % 16 == 0
    return GROUP if aligned and width % GROUP == 0 and channels <= 4 else 1


def _address(array: Array) -> int:
    return array.ctypes.data if isinstance(array, np.ndarray) else array.data.ptr


def _arguments(
    images: Array,
    plan: MixPlan,
    mirror: Array | None,
    scaling: tuple[tuple[float, ...], tuple[float, ...]] | None,
    erase: ErasePlan | None,
    size: tuple[int, int],
) -> tuple[Any, ...]:
    """All arguments but the output, in the order of the kernel's parameters."""
    xp, unused = array_module(images), plan.partner  # something to point to where nothing is read
    tokens = unused if plan.tokens is None else plan.tokens
    scale, bias = (constant(xp, values, "float32") for values in scaling or ((1.0,), (0.0,)))
    grid = (0, 0) if plan.tokens is None else plan.tokens.shape[1:]
    numbers = [np.int32(value) for value in (*size, *grid)]
    of_plan = plan.partner, plan.blend, plan.box, plan.shift, tokens
    return images, *of_plan, flips(mirror, unused), scale, bias, *_erasing(erase, unused), *numbers


def _erasing(erase: ErasePlan | None, unused: Array) -> tuple[Any, ...]:
    """Boxes, keys, how many boxes an image has, and the value that is put there."""
    if erase is None:
        return unused, unused, np.int32(0), np.float32(0)
    return *erase.arrays(), np.int32(erase.box.shape[1]), np.float32(erase.value or 0)
