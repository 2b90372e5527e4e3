"""Checks of the values in arrays, on the CPU only. On a GPU the host would have to wait; the kernels stay in bounds."""

from __future__ import annotations

from itertools import count
from math import gcd
from typing import Any

import numpy as np

from dalimix.draws import Draws
from dalimix.mix_plan import MixPlan, edges
from dalimix.pixels import check_values
from dalimix.support import bfloat16

LOOKED_AT = 1 << 14  # numbers of a floating batch


def check_draws(draws: Draws) -> None:
    """Refuse partners that are not a permutation, and random numbers out of their ranges."""
    size = len(draws.partner)
    _check("draws.partner", draws.partner, _inside(draws.partner, size), f"a permutation of 0 .. {size - 1}")
    times = np.bincount(draws.partner, minlength=size)
    if (times != 1).any():
        twice = int(times.argmax())
        raise ValueError(f"draws.partner has {twice} {times[twice]} times: expected a permutation of 0 .. {size - 1}")
    if draws.lam is not None:
        _check("draws.lam", draws.lam, (draws.lam >= 0) & (draws.lam <= 1), "a number in [0, 1]")
    _check("draws.uniform", draws.uniform, (draws.uniform >= 0) & (draws.uniform < 1), "numbers in [0, 1)")
    for member in draws.members:
        check_draws(member)


def check_heatmaps(heatmaps: np.ndarray | None) -> None:
    """Refuse values that are not finite: labels would be NaN, or a place would be chosen by nothing."""
    if heatmaps is None or np.isfinite(heatmaps).all():
        return
    sample = int(np.flatnonzero(~np.isfinite(heatmaps).all(axis=(1, 2)))[0])
    what = "NaN" if np.isnan(heatmaps[sample]).any() else "infinite values, in float32,"
    raise ValueError(f"heatmaps[{sample}] has {what} in it: expected finite numbers")


def check_places(plan: MixPlan, size: tuple[int, int]) -> None:
    """Refuse a plan that reaches out of the batch, or out of images of `size`."""
    _check_partner(plan)
    _check("plan.blend", plan.blend, (plan.blend >= 0) & (plan.blend <= 1), "a number in [0, 1]")
    check_boxes("plan.box", plan.box, size)
    if plan.shift.any():
        _check_shift(plan, size)


def check_boxes(name: str, boxes: np.ndarray, size: tuple[int, int]) -> None:
    """Refuse boxes [B, …, 4] that reach out of images of `size`."""
    start, stop = boxes[..., :2], boxes[..., 2:]
    height, width = size
    inside = (start >= 0) & (start <= stop) & (stop <= size)
    _check(name, boxes, inside, f"(y0, x0, y1, x1) in order, inside of {height} × {width} pixels")


def _check_shift(plan: MixPlan, size: tuple[int, int]) -> None:
    """Check where boxes and tokens are read; a blend is read where it is written."""
    moved = np.flatnonzero((plan.blend == 1) & plan.shift.any(axis=1))
    shift = plan.shift[moved].astype(np.int64)
    low, high = plan.box[moved, :2], plan.box[moved, 2:]
    empty = (low == high).any(axis=1, keepdims=True)
    low, high = np.where(empty, size, low), np.where(empty, 0, high)
    if plan.tokens is not None:
        first, last = _reach(plan.tokens[moved], size)
        low, high = np.minimum(low, first), np.maximum(high, last)
    inside = np.ones((len(plan.shift), 2), bool)
    inside[moved] = (low >= high) | ((low + shift >= 0) & (high + shift <= size))
    _check("plan.shift", plan.shift, inside, f"(dy, dx) that reads inside of {size[0]} × {size[1]} pixels")


def _reach(tokens: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Int [n, 2]: the first pixel that tokens [n, rows, columns] cover along each axis, and the end of the last.

    Without tokens, the first lies behind the last.
    """
    first, last = np.empty((len(tokens), 2), np.int64), np.empty((len(tokens), 2), np.int64)
    for axis, (pixels, grid) in enumerate(zip(size, tokens.shape[1:], strict=True)):
        shown, edge = tokens.any(axis=2 - axis), edges(pixels, grid)
        first[:, axis] = np.where(shown, edge[:-1], pixels).min(axis=1)
        last[:, axis] = np.where(shown, edge[1:], 0).max(axis=1)
    return first, last


def check_pixels(images: np.ndarray, mean: Any, std: Any) -> None:
    """Refuse mean and std that plainly do not fit the values of floating images.

    A sample of the values from all images and channels is checked, and all of them only if that does not fit. Images in
    bfloat16 are given by their bits.
    """
    if images.dtype == np.uint8 or (mean is None and std is None):
        return
    flat = images.ravel("K")
    some = _finite(flat[:: _step(flat.size)])
    try:
        if len(some):
            check_values(some, mean, std)
    except ValueError:
        check_values(_finite(flat), mean, std)


def _step(size: int) -> int:
    """A stride that skips no axis of the images: it has no divisor in common with their size."""
    return next(step for step in count(max(1, size // LOOKED_AT)) if gcd(step, size) == 1)


def _finite(numbers: np.ndarray) -> np.ndarray:
    numbers = bfloat16.widened(numbers) if numbers.dtype == bfloat16.BITS else numbers
    finite: np.ndarray = numbers[np.isfinite(numbers)]
    return finite


def check_shares(plan: MixPlan) -> None:
    """Refuse partners out of the batch, and label shares that are negative or not finite."""
    _check_partner(plan)
    _check("plan.weight", plan.weight, (plan.weight >= 0) & np.isfinite(plan.weight), "finite shares from 0")


def check_labels(labels: np.ndarray, classes: int | None) -> None:
    """Refuse class indices out of their range, and soft labels that are not finite."""
    if labels.ndim == 1 and classes is not None:
        bad = np.flatnonzero((labels < 0) | (labels >= classes))
        if len(bad):
            raise label_outside(labels[bad[0]], bad[0], classes)
    if labels.ndim == 2:
        with np.errstate(over="ignore"):  # too large for float32 is infinity
            finite = np.isfinite(labels.astype(np.float32, copy=False))
        _check("labels", labels, finite, "finite numbers, in float32")


def label_outside(label: int, sample: int, classes: int, batch: str = "") -> ValueError:
    """Return the error to raise where a class index is none of the `classes`."""
    counted = "class indices begin at 0, and num_classes is how many classes there are"
    return ValueError(f"label {label} of sample {sample}{batch} is outside 0 .. {classes - 1}: {counted}")


def _check_partner(plan: MixPlan) -> None:
    size = len(plan.partner)
    _check("plan.partner", plan.partner, _inside(plan.partner, size), f"an image of the batch, 0 .. {size - 1}")


def _inside(numbers: np.ndarray, count: int) -> np.ndarray:
    return (numbers >= 0) & (numbers < count)


def _check(name: str, array: np.ndarray, good: np.ndarray, expected: str) -> None:
    """Name the first sample with an entry that is not `good`."""
    if good.all():
        return
    sample = int(np.flatnonzero(~good.reshape(len(good), -1).all(axis=1))[0])
    got = np.array2string(array[sample], threshold=8, separator=", ")
    raise ValueError(f"{name}[{sample}] is {got}: expected {expected}")
