"""Random erasing, one image, one box and one pixel at a time, in plain Python. Nothing is shared with the package."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from typing import Any

import numpy as np

from tests.support import by_hand
from tests.support.formulas.token_mix_by_hand import philox

Box = tuple[int, int, int, int]  # y0, x0, y1, x1


def timm(rng: random.Random, size: tuple[int, int], erase: Any) -> list[Box]:
    """The boxes of one image, as ``timm.data.random_erasing.RandomErasing`` makes them (version 1.0)."""
    if rng.random() > erase.prob:
        return []
    boxes, (img_h, img_w), (min_count, max_count) = [], size, erase.counts
    count = min_count if min_count == max_count else rng.randint(min_count, max_count)
    for _ in range(count):
        for _attempt in range(10):
            target_area = rng.uniform(*erase.area) * (img_h * img_w) / count
            aspect_ratio = math.exp(rng.uniform(*map(math.log, erase.ratio)))
            h = round(math.sqrt(target_area * aspect_ratio))
            w = round(math.sqrt(target_area / aspect_ratio))
            if w < img_w and h < img_h:
                top, left = rng.randint(0, img_h - h), rng.randint(0, img_w - w)
                boxes.append((top, left, top + h, left + w))
                break
    return boxes


def boxes(erase: Any, key: list[int], size: tuple[int, int]) -> list[Box]:
    """The boxes of the image with this key, as many as there can be."""
    whether, many, *_ = philox([0, 0, 0, 2], key)
    (fewest, most), found = erase.counts, []
    drawn = fewest + math.floor(many / 2**32 * (most - fewest + 1))
    for k in range(most):
        there = whether / 2**32 < erase.prob and k < drawn
        found.append(next(_tries(erase, key, k, drawn, size), (0, 0, 0, 0)) if there else (0, 0, 0, 0))
    return found


def _tries(erase: Any, key: list[int], k: int, count: int, size: tuple[int, int]) -> Iterator[Box]:
    """The boxes that are small enough."""
    height, width = size
    low, high = map(math.log, erase.ratio)
    for tries in range(10):
        area, aspect, top, left = (word / 2**32 for word in philox([tries, k, 0, 1], key))
        pixels = (erase.area[0] + area * (erase.area[1] - erase.area[0])) * height * width / count
        ratio = math.exp(low + (high - low) * (math.floor(aspect * 1024) + 0.5) / 1024)
        h, w = round(math.sqrt(pixels * ratio)), round(math.sqrt(pixels / ratio))
        if h < height and w < width:
            y, x = math.floor(top * (height - h + 1)), math.floor(left * (width - w + 1))
            yield y, x, y + h, x + w


def normal(key: list[int], y: int, x: int, channel: int) -> float:
    """The noise of one pixel and channel: Box and Muller's numbers, from the halves of a word."""
    word = philox([x // 8, y, channel, 0], key)[x % 8 // 2]
    radius = math.sqrt(-2 * math.log(((word >> 16) + 0.5) / 2**16))
    angle = (2 * (word & 0x3FFF) - 16383) / 2**14 * math.pi / 4
    along = math.cos(angle) * (-1 if word & 0x4000 else 1)
    pair = (math.sin(angle), along) if word & 0x8000 else (along, math.sin(angle))
    return radius * pair[x % 2]


def compose(
    images: np.ndarray, plan: Any, erase: Any, mirror: Any = None, mean: Any = None, std: Any = None
) -> tuple[np.ndarray, np.ndarray]:
    """Float32 [B, H, W, C] of images [B, H, W, C], and bool [B, H, W]: which pixels anything erased is part of."""
    mixed = by_hand.compose(images, plan, mirror, mean, std, "float32")
    alone = by_hand.stack([by_hand.Row(n) for n in range(len(images))])
    seen = by_hand.compose(images, alone, mirror, mean, std, "float32")  # every image by itself
    gone = np.zeros(seen.shape[:3], bool)
    for n, y, x in np.ndindex(gone.shape):
        gone[n, y, x] = any(b[0] <= y < b[2] and b[1] <= x < b[3] for b in erase.box[n])
        if gone[n, y, x]:
            noise = [normal([int(word) for word in erase.key[n]], y, x, c) for c in range(images.shape[3])]
            seen[n, y, x] = noise if erase.value is None else erase.value
    touched = np.zeros(gone.shape, bool)
    for i, y, x in np.ndindex(gone.shape):
        j, keep = plan.partner[i], plan.blend[i]
        dy, dx = plan.shift[i] if keep == 1 else (0, 0)
        if by_hand.shows_partner(plan, i, y, x, images.shape):
            pixel, touched[i, y, x] = seen[j, y + dy, x + dx], gone[j, y + dy, x + dx]
        elif keep == 1:
            pixel, touched[i, y, x] = seen[i, y, x], gone[i, y, x]
        else:
            pixel = keep * seen[i, y, x] + (np.float32(1) - keep) * seen[j, y, x]
            touched[i, y, x] = gone[i, y, x] or gone[j, y, x]
        if touched[i, y, x]:
            mixed[i, y, x] = pixel
    return mixed, touched
