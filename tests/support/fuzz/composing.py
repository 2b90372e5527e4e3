"""Batches of all shapes, dtypes and layouts through `compose` on the CPU, against plain indexing.

    NUMBA_BOUNDSCHECK=1 python -m tests.support.fuzz.composing 1000 uint8-float16 …

prints what differs; with that variable, Numba's loops also raise an IndexError where they leave an array.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from itertools import product

import ml_dtypes  # noqa: F401  (NumPy knows "bfloat16" from then on)
import numpy as np

import dalimix.cpu
from dalimix import ErasePlan, MixPlan
from dalimix.pixels import image_dtype
from dalimix.support.bfloat16 import as_bits, from_bits

DTYPES = ("uint8", "float16", "float32")
PAIRS = (
    *("-".join(pair) for pair in product(DTYPES, DTYPES)),
    *("uint8-bfloat16", "float32-bfloat16", "bfloat16-bfloat16", "bfloat16-float32", "bfloat16-uint8"),
)
Channels = tuple[tuple[float, ...], tuple[float, ...]]


def differences(numbers: Iterator[int] | range, pairs: Sequence[str] = PAIRS) -> list[str]:
    """What differs in the batches of these numbers, a line each."""
    return [said for number in numbers if (said := _difference(number, pairs[number % len(pairs)]))]


def _difference(number: int, pair: str) -> str:
    rng, (dtype, out) = np.random.default_rng(number), pair.split("-")
    size, height, width, channels = (int(rng.integers(1, most)) for most in (6, 131, 131, 6))
    images = _images(rng, (size, height, width, channels), dtype)
    plan, mirror = _plan(rng, size, height, width), rng.integers(0, 2, size) if rng.random() < 0.5 else None
    scales, biases = rng.normal(0, 2, (2, channels)).tolist()
    scaling = (tuple(scales), tuple(biases)) if rng.random() < 0.5 else None
    layouts = rng.choice(["HWC", "CHW"], 2).tolist()
    given = images if layouts[0] == "HWC" else np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    got = from_bits(dalimix.cpu.compose(as_bits(given), plan, mirror, scaling, image_dtype(out), *layouts))
    want = composed(images, plan, mirror, scaling, out)
    want = want if layouts[1] == "HWC" else want.transpose(0, 3, 1, 2)
    same = got.shape == want.shape and got.dtype == want.dtype and _same_bits(got, want)
    return "" if same else f"[{number}] {pair} {images.shape} {layouts} mirror={mirror} scaled={scaling is not None}"


def erased_differences(numbers: Iterator[int] | range) -> list[str]:
    """What differs where boxes are erased by a value: it is as if they had been erased before."""
    return [said for number in numbers if (said := _erased_difference(number))]


def _erased_difference(number: int) -> str:
    rng = np.random.default_rng(number)
    size, height, width, channels = (int(rng.integers(1, most)) for most in (6, 131, 131, 6))
    images = _images(rng, (size, height, width, channels), "uint8")
    plan, mirror = _plan(rng, size, height, width), rng.integers(0, 2, size)
    boxes, keys = _boxes(rng, size, height, width), np.zeros((size, 2), np.uint32)
    erase, layouts = ErasePlan(boxes, keys, -3.0), rng.choice(["HWC", "CHW"], 2).tolist()
    given = images if layouts[0] == "HWC" else np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    got = dalimix.cpu.compose(given, plan, mirror, None, np.dtype("float32"), layouts[0], layouts[1], erase)
    seen = images.astype(np.float32)
    seen[mirror != 0] = seen[mirror != 0, :, ::-1]
    for image, of_image in zip(seen, boxes, strict=True):
        for top, left, bottom, right in of_image:
            image[top:bottom, left:right] = -3
    want = composed(seen, plan, None, None, "float32")
    want = want if layouts[1] == "HWC" else want.transpose(0, 3, 1, 2)
    return "" if got.shape == want.shape and _same_bits(got, want) else f"[{number}] {images.shape} {layouts}"


def _boxes(rng: np.random.Generator, size: int, height: int, width: int) -> np.ndarray:
    count = int(rng.integers(0, 4))
    rows, columns = (np.sort(rng.integers(0, n + 1, (2, size, count)), axis=0) for n in (height, width))
    return np.stack([rows[0], columns[0], rows[1], columns[1]], axis=2).astype(np.int32)


def _images(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    if dtype == "uint8":
        return rng.integers(0, 256, shape, np.uint8)
    images = rng.normal(100, 300, shape).astype(dtype)
    planted = rng.random(shape) < 0.02
    images[planted] = rng.choice(np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 0.5, 1.5, 6e-8]), planted.sum())
    return images


def _plan(rng: np.random.Generator, size: int, height: int, width: int) -> MixPlan:
    blend = np.where(rng.random(size) < 0.3, rng.random(size), 1).astype(np.float32)
    rows, columns = (np.sort(rng.integers(0, n + 1, (2, size)), axis=0) for n in (height, width))
    box = np.stack([rows[0], columns[0], rows[1], columns[1]], axis=1).astype(np.int32)
    moved = (rng.random(size) < 0.3)[:, None]
    low, high = -box[:, :2], np.array([height, width]) - box[:, 2:]
    shift = np.where(moved, rng.integers(low, high + 1), 0).astype(np.int32)
    grid = rng.integers(1, (min(height, 20) + 1, min(width, 20) + 1))
    tokens = (rng.random((size, *grid)) < rng.random()).astype(np.uint8) * ~moved[:, :, None]
    partner, weight = rng.integers(0, size, size, np.int32), np.ones((size, 2), np.float32)
    return MixPlan(partner, weight, blend, box, shift, tokens.astype(np.uint8) if rng.random() < 0.5 else None)


def composed(
    images: np.ndarray, plan: MixPlan, mirror: np.ndarray | None, scaling: Channels | None, dtype: str
) -> np.ndarray:
    """The output [B, H, W, C] of images [B, H, W, C]."""
    seen = images.copy()
    if mirror is not None:
        seen[mirror != 0] = images[mirror != 0, :, ::-1]
    output = np.empty(images.shape, dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        for i, (j, keep) in enumerate(zip(plan.partner, plan.blend, strict=True)):
            values = seen[i].astype(np.float32)
            if keep != 1:
                values = keep * values + (np.float32(1) - keep) * seen[j].astype(np.float32)
            y, x = np.nonzero(_shown(plan, i, images.shape))
            down, across = plan.shift[i] if keep == 1 else (0, 0)
            values[y, x] = seen[j][y + down, x + across]
            if scaling is not None:
                values = values * np.array(scaling[0], np.float32) + np.array(scaling[1], np.float32)
            if dtype == "uint8":
                values = np.rint(np.clip(np.nan_to_num(values, nan=0, posinf=255, neginf=0), 0, 255))
            output[i] = values.astype(dtype)
    return output


def _shown(plan: MixPlan, i: int, shape: tuple[int, ...]) -> np.ndarray:
    """Bool [H, W]: where the partner shows."""
    _, height, width, _ = shape
    top, left, bottom, right = plan.box[i]
    shown = np.zeros((height, width), bool)
    shown[top:bottom, left:right] = True
    if plan.tokens is not None:
        rows, columns = (
            np.searchsorted(np.arange(1, g) * n // g, np.arange(n), side="right")
            for n, g in zip((height, width), plan.tokens.shape[1:], strict=True)
        )
        shown |= plan.tokens[i][rows][:, columns] != 0
    return shown


def _same_bits(got: np.ndarray, want: np.ndarray) -> bool:
    """Whether all bits are equal, but that one NaN may be another."""
    if got.dtype == np.uint8:
        return bool((got == want).all())
    bits = f"u{got.itemsize}"
    equal = np.ascontiguousarray(got).view(bits) == np.ascontiguousarray(want).view(bits)
    return bool((equal | (np.isnan(got) & np.isnan(want))).all())


if __name__ == "__main__":
    sys.stdout.write("\n".join(differences(range(int(sys.argv[1])), sys.argv[2:] or PAIRS)))
