"""Repeated augmentation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dali_ops.keywords import part_of_loader
from dali_ops.samplers.random_numbers import shuffled
from dali_ops.samplers.sampler import Epochs, Sampler
from dali_ops.sources import Source
from dalimix import checks

MOST_TIMES = 1 << 16
ROUNDED_TO = 256  # images of an epoch, in the authors' code


@part_of_loader("sampler")
@dataclass(frozen=True)
class Repeated(Sampler):
    """Repeated augmentation: every image comes several times in a row, each time with a crop and flip of its own.

    As the `RASampler` of DeiT does it (Hoffer et al., arXiv 1901.09335; Touvron et al., arXiv 2012.12877): the images
    are shuffled and repeated, and the processes take them in turn. If the global batch, `batch_size` times the number
    of processes, is a multiple of `times`, each of its images is in it exactly so often, but for the last one of an
    epoch. Otherwise its first and its last image may have copies in the batches before and after.

    An epoch has as many steps as without repeating, so with ``times=3`` it has a third of the images, other ones every
    time. As the authors do, its length is rounded down to a multiple of 256, and what the number of processes does not
    divide is left out. Fewer than 256 images, of which they would leave none, are not rounded.

    Args:
        times: how often each image comes.

    Raises:
        ValueError: `times` is not a whole number from 1 to 65,536.

    Examples:
        >>> loader = ImageFolderLoader(folder, CutMix(), batch_size=6, transform=Train(32), sampler=Repeated(3),
        ...                            keep_info=True, seed=0)
        >>> for images, targets in loader:
        ...     loader.names(loader.batch_info.index)
        ['cat/0.jpg', 'cat/0.jpg', 'cat/0.jpg', 'cat/2.jpg', 'cat/2.jpg', 'cat/2.jpg']
        ['fox/3.jpg', 'fox/3.jpg', 'fox/3.jpg', 'fox/1.jpg', 'fox/1.jpg', 'fox/1.jpg']
        >>> loader.close()
    """

    times: int = 3

    def __post_init__(self) -> None:
        object.__setattr__(self, "times", checks.count("times", self.times, MOST_TIMES))

    def of(self, source: Source) -> Epochs:
        return Repeats(len(source), self.times)


@dataclass(frozen=True)
class Repeats(Epochs):
    """Epochs of so many images, each `times` times in a row."""

    count: int
    times: int

    def share(self, world_size: int) -> int:
        return (self.count // ROUNDED_TO * ROUNDED_TO or self.count) // world_size

    def numbers(self, places: np.ndarray, seed: int, epoch: int) -> np.ndarray:
        numbers: np.ndarray = shuffled(self.count, seed, epoch)[places // self.times]
        return numbers
