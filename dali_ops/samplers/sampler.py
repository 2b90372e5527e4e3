"""What all samplers have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from dali_ops.sources import Source


class Epochs(ABC):
    """The images of a source as a sampler orders them, epoch after epoch.

    An epoch is one sequence for all processes, which take its images in turn: a step of all of them together is a
    stretch of it. Everything follows from the arguments, so that any batch can be made again.
    """

    @abstractmethod
    def share(self, world_size: int) -> int:
        """How many images each of so many processes has in an epoch."""

    @abstractmethod
    def numbers(self, places: np.ndarray, seed: int, epoch: int) -> np.ndarray:
        """Return int64 [n]: the images at these places of an epoch, int64 [n], which ascend; n is 1 at least."""


class Sampler(ABC):
    """What a loader takes as its `sampler`."""

    @abstractmethod
    def of(self, source: Source) -> Epochs:
        """The epochs of a source. Raises ValueError: the sampler does not fit it."""
