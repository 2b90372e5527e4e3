"""Launches kernels/soft_labels.cu."""

from __future__ import annotations

from functools import cache
from types import ModuleType

import numpy as np

from dalimix.arrays import Array, array_module
from dalimix.cuda import loader
from dalimix.mix_plan import MixPlan
from dalimix.values import label_outside

THREADS = 256
LABEL_TYPES = {np.dtype("int32"): "int", np.dtype("int64"): "long long", np.dtype("float32"): "float"}


def soft_labels(labels: Array, plan: MixPlan, num_classes: int, smoothing: float) -> Array:
    """y = weight₀·onehot(labelᵢ) + weight₁·onehot(labelⱼ), smoothed; float32 [B, num_classes]."""
    xp, size = array_module(labels), len(labels)
    labels = xp.ascontiguousarray(labels, _nearest_dtype(labels))
    flag = bad_label(xp)
    _raise_if_set(flag)
    output = xp.empty((size, num_classes), "float32")
    kernel = loader.load_kernel("soft_labels", LABEL=LABEL_TYPES[labels.dtype], DENSE=int(labels.ndim == 2))
    numbers = (np.int32(num_classes), np.float32(1 - smoothing), np.float32(smoothing / num_classes))
    grid = size, (num_classes + THREADS - 1) // THREADS
    kernel(grid, (THREADS,), (labels, plan.partner, plan.weight, *numbers, _address_of_flag(xp), output))
    return output


def pair_labels(labels: Array, plan: MixPlan) -> tuple[Array, ...]:
    """(labels, labels of the partners, weights), all new arrays; the labels are not read, so they are not checked.

    A partner out of the batch is replaced by the nearest image, as in the kernels.
    """
    return labels.copy(), labels[plan.partner.clip(0, len(labels) - 1)], plan.weight.copy()


def _nearest_dtype(labels: Array) -> str:
    if labels.dtype.kind == "f":
        return "float32"
    return "int64" if labels.dtype.itemsize == 8 or labels.dtype == np.uint32 else "int32"


@cache
def bad_label(xp: ModuleType) -> np.ndarray:
    """int64 [3] in memory that the kernel writes and the host reads without waiting: (1 + sample, label, classes)."""
    if xp.__name__ == "cupy":
        import cupyx

        pinned: np.ndarray = cupyx.zeros_pinned(3, np.int64)
        return pinned
    return np.zeros(3, np.int64)


@cache
def _address_of_flag(xp: ModuleType) -> np.uintp:
    address: np.uintp = np.uintp(bad_label(xp).ctypes.data)
    return address


def _raise_if_set(flag: np.ndarray) -> None:
    """Raise the error of a bad label in an earlier batch. The flag is not waited for: that would stop the host."""
    sample, label, classes = int(flag[0]) - 1, int(flag[1]), int(flag[2])
    if sample >= 0:
        flag[0] = 0
        raise label_outside(label, sample, classes, " of an earlier batch")
