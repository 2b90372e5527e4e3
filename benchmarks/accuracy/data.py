"""The images: scikit-learn's handwritten digits, of which few have a label."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

CLASSES, SIZE = 10, 32  # pixels of a side; the images have 8, and every model has as many cells or tokens
GREYEST = 16.0  # the highest value of a pixel


@dataclass(frozen=True)
class Split:
    """Which images are trained on; all others are the test.

    Attributes:
        images: float32 [N, 1, 32, 32] from -1 to 1, those to train on.
        labels: int64 [N].
        test_images, test_labels: the others.
    """

    images: Tensor
    labels: Tensor
    test_images: Tensor
    test_labels: Tensor


def split(seed: int, per_class: int) -> Split:
    """As many images of every class, drawn by the seed."""
    images, labels = digits()
    order = np.random.default_rng(seed).permutation(len(labels))
    of_classes = [order[labels.numpy()[order] == label] for label in range(CLASSES)]
    few = min(map(len, of_classes))
    if not 0 < per_class < few:
        raise ValueError(
            f"--per-class must be from 1 to {few - 1}, so that every class is in the test, got {per_class}"
        )
    train, test = (
        torch.from_numpy(np.concatenate([of_class[part] for of_class in of_classes]))
        for part in (slice(per_class), slice(per_class, None))
    )
    return Split(images[train], labels[train], images[test], labels[test])


@cache
def digits() -> tuple[Tensor, Tensor]:
    """All of them, enlarged: float32 [1797, 1, 32, 32] and int64 [1797]."""
    from sklearn.datasets import load_digits

    found = load_digits()
    small = torch.from_numpy(found.images).float()[:, None] * (2 / GREYEST) - 1
    return interpolate(small, (SIZE, SIZE), mode="bilinear"), torch.from_numpy(found.target).long()
