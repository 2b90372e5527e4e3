"""Sampling with all classes alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dali_ops.keywords import part_of_loader
from dali_ops.samplers.sampler import Epochs, Sampler
from dali_ops.samplers.with_replacement import WithReplacement
from dali_ops.sources import Source


@part_of_loader("sampler")
@dataclass(frozen=True)
class Balanced(Sampler):
    """Images are drawn with replacement, every class equally often, and within a class every image.

    An epoch has as many draws as the source has images: images of large classes come less than once, those of small
    ones more often, each time with a crop of its own. Classes without an image are passed over.

    Examples:
        >>> source = ImageFolder.scan(folder).picked([0, 1, 2, 3, 4, 8])  # four cats, a dog and a fox
        >>> with Loader(source, batch_size=6, transform=Train(32), sampler=Balanced(), seed=0) as loader:
        ...     [labels.tolist() for epoch in range(2) for images, labels in loader]
        [[0, 0, 0, 1, 1, 0], [2, 2, 2, 1, 2, 0]]
    """

    def of(self, source: Source) -> Epochs:
        labels = source.class_indices
        return WithReplacement(1.0 / np.bincount(labels)[labels])
