"""Where images are cropped: at random as torchvision's RandomResizedCrop, or in the centre as torchvision and timm."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from nvidia.dali import fn
from nvidia.dali.data_node import DataNode

from dali_ops.decorators import plain_python
from dali_ops.operators import bridge

Pair = tuple[float, float]
Size = tuple[int, int]  # height and width

WIDE = 1.2  # from which quotient on a range of ratios is wide
TRIES = 10
DRAWS = 2 * TRIES + 2  # area and ratio of every try; then the place, from top to bottom and from left to right


@plain_python
def random_window(image_shape: DataNode, scale: Pair, ratio: Pair) -> tuple[DataNode, DataNode]:
    """Draw a window for each image of int64 [3]: integers [2] (top, left) and (height, width).

    DALI's ``fn.random_crop_generator`` does it without Python. It rejects a crop whose rounded sides leave the range of
    ratios, so that a narrow range nearly always ends in the largest crop: those are drawn in a callback.
    """
    if ratio[1] >= WIDE * ratio[0]:
        size = image_shape[0:2]
        anchor, shape = fn.random_crop_generator(size, random_area=list(scale), random_aspect_ratio=list(ratio))
        return anchor, shape
    uniform = fn.random.uniform(range=[0.0, 1.0], shape=[DRAWS])
    anchor, shape = bridge.whole_batch(
        RandomWindows(scale, ratio), [image_shape, uniform], 2, "cpu", ["", ""], name="RandomCrop"
    )
    return anchor, shape


@dataclass(frozen=True)
class RandomWindows:
    """The callback: torchvision's ``RandomResizedCrop.get_params``, of whole batches.

    Ten times, an area is drawn, uniform in `scale`, and a ratio of width to height, whose logarithm is uniform; the
    first window that fits is put anywhere. If none fits, it is the largest of a ratio in the range, in the centre.
    """

    scale: Pair
    ratio: Pair

    def __call__(self, shapes: np.ndarray, uniform: np.ndarray) -> Sequence[np.ndarray]:
        whole, drawn = shapes[:, :2].astype(np.int64), uniform.astype(np.float64)
        sides = self._tried(whole, drawn)  # [B, tries, 2]
        fits = np.all((sides >= 1) & (sides <= whole[:, None]), axis=2)
        first, found = fits.argmax(axis=1), np.any(fits, axis=1, keepdims=True)
        shape = np.where(found, sides[np.arange(len(sides)), first], self._largest(whole)).astype(np.int32)
        play = whole - shape
        anchor = np.where(found, np.floor(drawn[:, 2 * TRIES :] * (play + 1)), play // 2)
        return [anchor.astype(np.int32), shape]

    def _tried(self, whole: np.ndarray, drawn: np.ndarray) -> np.ndarray:
        (lowest, highest), (narrow, wide) = self.scale, np.log(self.ratio)
        areas = whole.prod(axis=1, keepdims=True) * (lowest + (highest - lowest) * drawn[:, :TRIES])
        ratios = np.exp(narrow + (wide - narrow) * drawn[:, TRIES : 2 * TRIES])
        sides: np.ndarray = np.rint(np.sqrt(np.stack([areas / ratios, areas * ratios], axis=2)))
        return sides

    def _largest(self, whole: np.ndarray) -> np.ndarray:
        height, width = whole.T
        narrow, wide = self.ratio
        own = width / height
        largest = np.stack([np.where(own < narrow, np.rint(width / narrow), height),
                            np.where(own > wide, np.rint(height * wide), width)], axis=1)  # fmt: skip
        at_least_one: np.ndarray = np.maximum(largest, 1)
        return at_least_one


@plain_python
def centre_region(image_shape: DataNode, size: Size, crop: float) -> tuple[DataNode, DataNode]:
    """The part of each image that its centre crop shows: float32 [2] (top, left) and (bottom, right), in its pixels."""
    start, end = bridge.whole_batch(CentreRegions(size, crop), [image_shape], 2, "cpu", ["", ""], name="CentreCrop")
    return start, end


@dataclass(frozen=True)
class CentreRegions:
    """The callback. The image is thought of as resized, and its middle as cut out at whole pixels.

    Of one side s, the shorter side becomes ⌊s / crop⌋ and the longer one is rounded down (torchvision's ``Resize``).
    Of two sides, both are at least ⌊side / crop⌋, and the one that is longer is rounded (timm's ``ResizeKeepRatio``).
    The offset is rounded as torchvision's ``CenterCrop`` does it: halves to even, as everywhere in Python.
    """

    size: Size
    crop: float

    def __call__(self, shapes: np.ndarray) -> Sequence[np.ndarray]:
        whole = shapes[:, :2].astype(np.int64)
        resized = self.resized(whole)
        start = np.rint((resized - self.size) / 2)
        return [(at * whole / resized).astype(np.float32) for at in (start, start + self.size)]

    def resized(self, whole: np.ndarray) -> np.ndarray:
        """Int64 [B, 2]: the sizes of the resized images."""
        covered = [math.floor(side / self.crop) for side in self.size]
        if covered[0] == covered[1]:
            sides: np.ndarray = whole * covered[0] // whole.min(axis=1, keepdims=True)
        else:
            sides = np.rint(whole / (whole / covered).min(axis=1, keepdims=True)).astype(np.int64)
        return sides
