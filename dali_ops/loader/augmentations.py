"""The augmentations that have names, of DALI's operators: RandAugment, AutoAugment, TrivialAugment, 3-Augment."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
from nvidia.dali import fn, types
from nvidia.dali import math as dali_math
from nvidia.dali.auto_aug import augmentations as ops
from nvidia.dali.auto_aug.auto_augment import auto_augment
from nvidia.dali.auto_aug.core import select, signed_bin
from nvidia.dali.auto_aug.trivial_augment import trivial_augment_wide
from nvidia.dali.data_node import DataNode

from dali_ops.loader.reading.crops import Size

PLAIN = ("auto", "trivial", "three")
IN_PLACE = ("three",)  # these move no pixels
KNOWN = "'rand-m9-n2' (m from 0 to 10, any n; also mstd, inc and p, as in timm), 'auto', 'trivial' or 'three'"
LEVELS = 10  # timm's magnitudes are 0 … 10
FINE = 10  # magnitudes to a level
BINS = LEVELS * FINE + 1
RENAMED = r".*nvidia\.dali\.fn\.experimental\."  # operators that DALI's augmentations call by names that it warns of
TRANSLATION = {"rand": 0.45, "auto": 150 / 331}  # of the side, at most: timm's, and torchvision's
JITTER = (0.7, 1.3)  # factors of 3-Augment's colour jitter of 0.3
BLUR = (0.1, 2.0)  # standard deviation in pixels
GREY = 128
NUMBER = re.compile(r"(m|n|mstd|inc|p)(\d+(?:\.\d+)?)")


@dataclass(frozen=True)
class Rand:
    """What the name of a RandAugment says; the defaults are timm's.

    Attributes:
        m: magnitude, 0 to 10.
        n: operations for each image.
        mstd: standard deviation of the magnitude, which is drawn for each image and operation.
        inc: 1: every operation is stronger at a higher magnitude, as in DeiT's recipe.
        p: probability of each operation.
    """

    m: float = 10
    n: float = 2
    mstd: float = 0
    inc: float = 0
    p: float = 0.5

    @property
    def holds(self) -> bool:
        """Whether the numbers are in range."""
        ranged = max(self.m, self.mstd) <= LEVELS and self.p <= 1
        return ranged and self.inc in (0, 1) and self.n in range(1, LEVELS + 1)

    @property
    def name(self) -> str:
        """The name, the same for equal numbers."""
        more = [f"-{key}{getattr(self, key):g}" for key in ("mstd", "inc", "p")
                if getattr(self, key) != getattr(Rand, key)]  # fmt: skip
        return f"rand-m{self.m:g}-n{self.n:g}{''.join(more)}"


def checked_name(given: str) -> str:
    """Return the name of an augmentation, in one form.

    Raises:
        ValueError: there is none of this name.
    """
    if given in PLAIN:
        return given
    rand = _rand(given)
    if rand is None:
        raise ValueError(f"augment must be a function from images to images, or one of {KNOWN}, got {given!r}")
    return rand.name


def _rand(name: str) -> Rand | None:
    """The RandAugment of this name; None if there is none."""
    kind, *said = name.split("-")
    found = [NUMBER.fullmatch(part) for part in said]
    numbers = {match[1]: float(match[2]) for match in found if match}
    if kind != "rand" or len(numbers) != len(said):
        return None
    rand = Rand(**numbers)
    return rand if rand.holds else None


def apply_named(name: str, images: DataNode, size: Size) -> DataNode:
    """Return augmented images, uint8 [H, W, 3] of this size as they came."""
    with warnings.catch_warnings(record=True) as heard:  # DALI shows such warnings whatever the filters are
        augmented = _applied(name, images, size)
    for warning in heard:
        if not re.match(RENAMED, str(warning.message)):
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    return augmented


def _applied(name: str, images: DataNode, size: Size) -> DataNode:
    if name == "auto":
        return auto_augment(images, shape=size, max_translate_rel=TRANSLATION["auto"])
    if name == "trivial":
        return trivial_augment_wide(images)
    if name == "three":
        return three_augment(images)
    rand = _rand(name)
    assert rand is not None  # the name was checked
    return rand_augment(images, size, rand)


def rand_augment(images: DataNode, size: Size, rand: Rand) -> DataNode:
    """RandAugment (arXiv 1909.13719) as in timm: its fifteen operations and their ranges, each with a probability."""
    suite, n = [ops.identity, *operations(bool(rand.inc))], int(rand.n)
    numbers = fn.random.uniform(values=list(range(1, len(suite))), shape=[n], dtype=types.INT32)
    chosen = numbers * fn.random.coin_flip(probability=rand.p, shape=[n], dtype=types.INT32)
    bins = signed_bin(_bins(rand, n), shape=(n,))
    for k in range(n):
        options = {"magnitude_bin": bins[k], "num_magnitude_bins": BINS, "shape": size}
        images = select(suite, chosen[k], data=images, **options)
    return images


def _bins(rand: Rand, n: int) -> Any:
    if not rand.mstd:
        return round(rand.m * FINE)
    drawn = fn.random.normal(mean=rand.m * FINE, stddev=rand.mstd * FINE, shape=[n])
    return fn.cast(dali_math.clamp(drawn, 0, BINS - 1), dtype=types.INT32)


def operations(increasing: bool) -> list[Any]:
    """The operations of timm's RandAugment, with magnitudes that are whole numbers where timm's are."""
    steps = np.arange(BINS, dtype=np.float32)
    bits, threshold = steps * 4 // (BINS - 1), steps * 256 // (BINS - 1)
    enhanced: tuple[Any, ...] = (0.1, 1.9), False, None
    kernel = ops.sharpness_kernel_shifted
    if increasing:
        bits, threshold = 4 - bits, 256 - threshold
        enhanced, kernel = ((0, 0.9), True, ops.shift_enhance_range), ops.sharpness_kernel
    return [
        ops.auto_contrast, ops.equalize, ops.invert, ops.rotate.augmentation((0, 30), True),
        ops.posterize.augmentation(bits), ops.solarize.augmentation(threshold),
        ops.solarize_add.augmentation(steps * 110 // (BINS - 1)),
        *(op.augmentation(*enhanced) for op in (ops.color, ops.contrast, ops.brightness)),
        ops.sharpness.augmentation(*enhanced[:2], kernel),
        *(op.augmentation((0, 0.3), True) for op in (ops.shear_x, ops.shear_y)),
        *(op.augmentation((0, TRANSLATION["rand"]), True) for op in (ops.translate_x, ops.translate_y)),
    ]  # fmt: skip


def three_augment(images: DataNode) -> DataNode:
    """3-Augment of DeiT III (arXiv 2204.07118): grey, solarised or blurred, one of three, and then colour jitter."""
    choice = fn.random.uniform(values=[0, 1, 2], dtype=types.INT32)
    sigma = fn.random.uniform(range=list(BLUR))
    order = types.Constant(np.array(list(permutations(range(3))), np.int32))
    turns = order[fn.random.uniform(values=list(range(6)), dtype=types.INT32)]
    factors = fn.random.uniform(range=list(JITTER), shape=[3])
    if choice == 0:
        images = grey(images)
    elif choice == 1:
        images = ops.solarize.op(images, GREY)
    else:
        images = fn.gaussian_blur(images, sigma=sigma)
    for k in range(3):
        images = jittered(images, turns[k], factors[k])
    return images


def grey(images: DataNode) -> DataNode:
    """Luma in all three channels."""
    luma = fn.color_space_conversion(images, image_type=types.RGB, output_type=types.GRAY)
    return fn.color_space_conversion(luma, image_type=types.GRAY, output_type=types.RGB)


def jittered(images: DataNode, which: DataNode, factor: DataNode) -> DataNode:
    """Brightness, contrast or saturation times a factor, as Pillow's ``ImageEnhance``."""
    if which == 0:
        images = fn.brightness(images, brightness=factor)
    elif which == 1:
        images = ops.contrast.op(images, factor)
    else:
        images = fn.saturation(images, saturation=factor)
    return images
