"""Epochs of images that are drawn with replacement."""

from __future__ import annotations

import numpy as np

from dali_ops.samplers.random_numbers import uniform
from dali_ops.samplers.sampler import Epochs


class WithReplacement(Epochs):
    """Every draw is independent, and as many are made as there are images, or few more, so that all shares are equal.

    Args:
        weights: float64 [N], finite, from 0, and not all 0: an image is as likely as its part of their sum.
    """

    def __init__(self, weights: np.ndarray) -> None:
        self._count = len(weights)
        self._up_to = np.cumsum(weights / weights.max())  # so scaled that no sum is infinite, or too small to be cut

    def share(self, world_size: int) -> int:
        return -(-self._count // world_size)

    def numbers(self, places: np.ndarray, seed: int, epoch: int) -> np.ndarray:
        at = uniform(places, seed, epoch) * self._up_to[-1]
        numbers: np.ndarray = self._up_to.searchsorted(at, side="right")  # which passes over an image of weight 0
        return numbers
