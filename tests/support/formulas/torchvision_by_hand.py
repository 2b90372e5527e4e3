"""What torchvision and timm do to an image, in plain Python: where they crop, and what they resize to."""

from __future__ import annotations

import math

import numpy as np
import torch
from PIL import Image

Box = tuple[int, int, int, int]  # top, left, height, width


def random_box(
    rng: np.random.Generator, size: tuple[int, int], scale: tuple[float, float], ratio: tuple[float, float]
) -> Box:
    """torchvision's ``RandomResizedCrop.get_params``."""
    height, width = size
    log_ratio = math.log(ratio[0]), math.log(ratio[1])
    for _ in range(10):
        target_area = height * width * rng.uniform(*scale)
        aspect_ratio = math.exp(rng.uniform(*log_ratio))
        w = round(math.sqrt(target_area * aspect_ratio))
        h = round(math.sqrt(target_area / aspect_ratio))
        if 0 < w <= width and 0 < h <= height:
            return int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1)), h, w
    own = width / height
    if own < min(ratio):
        w, h = width, round(width / min(ratio))
    elif own > max(ratio):
        w, h = round(height * max(ratio)), height
    else:
        w, h = width, height
    return (height - h) // 2, (width - w) // 2, h, w


def resized_size(size: tuple[int, int], wanted: tuple[int, int], crop: float) -> tuple[int, int]:
    """What timm's ``transforms_imagenet_eval`` resizes to: torchvision's ``Resize``, or its own ``ResizeKeepRatio``."""
    height, width = size
    scaled = math.floor(wanted[0] / crop), math.floor(wanted[1] / crop)
    if scaled[0] == scaled[1]:
        short, long = (width, height) if width <= height else (height, width)
        new_long = int(scaled[0] * long / short)
        return (new_long, scaled[0]) if width <= height else (scaled[0], new_long)
    ratio = min(height / scaled[0], width / scaled[1])
    return round(height / ratio), round(width / ratio)


def centre_box(size: tuple[int, int], wanted: tuple[int, int]) -> Box:
    """torchvision's ``CenterCrop``."""
    top, left = (round((side - kept) / 2.0) for side, kept in zip(size, wanted, strict=True))
    return top, left, *wanted


def cut(pixels: np.ndarray, box: Box) -> np.ndarray:
    top, left, height, width = box
    return pixels[top : top + height, left : left + width]


def resized(pixels: np.ndarray, size: tuple[int, int], interpolation: str) -> np.ndarray:
    """What torchvision calls for ``resize(antialias=True)``; for Lanczos's kernel, which torch has not, Pillow."""
    if interpolation == "lanczos":
        return np.asarray(Image.fromarray(pixels).resize(size[::-1], Image.Resampling.LANCZOS))
    mode = {"nearest": "nearest-exact"}.get(interpolation, interpolation)
    smooth = {} if interpolation == "nearest" else {"antialias": True, "align_corners": False}
    image = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float()
    made = torch.nn.functional.interpolate(image, size, mode=mode, **smooth)[0].permute(1, 2, 0)
    return made.round().clamp(0, 255).byte().numpy()
