"""Sampling by a weight of every image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any

import numpy as np

from dali_ops.keywords import part_of_loader
from dali_ops.samplers.sampler import Epochs, Sampler
from dali_ops.samplers.with_replacement import WithReplacement
from dali_ops.sources import Source

EXPECTED = "weights must be numbers [N], one for each image of the source"


@part_of_loader("sampler")
@dataclass(frozen=True, eq=False, repr=False)
class Weighted(Sampler):
    """Images are drawn with replacement, each as likely as its weight, as by torch's WeightedRandomSampler.

    An epoch has as many draws as the source has images. One of weight 0 never comes. Equal weights are the same
    sampler, in whatever form they are given.

    Args:
        weights: one for each image, in the order of ``source.names``; a sequence, array or tensor of numbers from 0,
            which need not add up to 1. They are copied, and kept as float64 [N].

    Raises:
        TypeError: `weights` are not numbers [N].
        ValueError: there are none, one is negative, infinite or NaN, or all are 0. In the loader, there are more or
            fewer than images.

    Examples:
        >>> source = ImageFolder.scan(folder)  # four images each of cats, dogs and foxes
        >>> often = Weighted([8 if label == 2 else 1 for label in source.labels])
        >>> with Loader(source, batch_size=4, transform=Train(32), sampler=often, seed=0) as loader:
        ...     [labels.tolist() for images, labels in loader]
        [[0, 2, 1, 2], [2, 2, 2, 2], [2, 1, 2, 1]]
    """

    weights: Sequence[float] | np.ndarray

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", _checked(self.weights))

    def of(self, source: Source) -> Epochs:
        if len(self.weights) != len(source):
            raise ValueError(f"sampler has {len(self.weights)} weights but source has {len(source)} images: "
                             "Weighted takes one for each, in the order of source.names")  # fmt: skip
        return WithReplacement(np.asarray(self.weights))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Weighted) and np.array_equal(self.weights, other.weights)

    def __hash__(self) -> int:
        return hash(self._digest)

    def __repr__(self) -> str:
        """In a state, too, where a million weights would be out of place."""
        return f"Weighted(<{len(self.weights)} weights, digest {self._digest[:16]}>)"

    @cached_property
    def _digest(self) -> str:
        return sha256(np.asarray(self.weights).tobytes()).hexdigest()


def _checked(given: Any) -> np.ndarray:
    """Return float64 [N] that nobody can change."""
    weights = _numbers(given)
    if not len(weights):
        raise ValueError(f"{EXPECTED}, got none")
    wrong = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
    if len(wrong):
        raise ValueError(f"weights must be finite numbers from 0, got {weights[wrong[0]]} for image {wrong[0]}")
    if not weights.any():
        raise ValueError("weights must not all be 0, or no image could be drawn")
    weights.flags.writeable = False
    return weights


def _numbers(given: Any) -> np.ndarray:
    try:
        array = np.asarray(given.tolist() if hasattr(given, "tolist") else given)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"{EXPECTED}, got {given!r:.100}") from None
    if array.ndim != 1 or (array.size and array.dtype.kind not in "buif"):
        raise TypeError(f"{EXPECTED}, got {given!r:.100}")
    return array.astype(np.float64) + 0.0  # no −0: it is another number, but the same weight
