"""Which images every batch has: a pure function of epoch and step, so that any batch can be made again."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from dali_ops.shard import ALONE, Shard


@dataclass(frozen=True)
class Order:
    """The batches of one process, by the numbers of their images.

    Every epoch is cut into as many shares as there are processes, one after the other, and every share into batches.
    All processes make the same number of steps:

    * with `drop_last`, all shares and all batches are full, and what is left over is left out, other images in every
      shuffled epoch;
    * in training otherwise, a share that would be one image shorter gets one of the first images once more, as of
      torch's DistributedSampler;
    * in validation otherwise, every image comes exactly once, and the last batch of a process may be empty.

    Attributes:
        count: of images.
        batch_size: of one process.
        training: shuffled in every epoch.
        drop_last: whether batches that are not full are left out.
        seed: of the shuffling, the same for all processes.
        shard: which process.
    """

    count: int
    batch_size: int
    training: bool = False
    drop_last: bool = False
    seed: int = 0
    shard: Shard = ALONE

    @cached_property
    def steps(self) -> int:
        """Batches per epoch, of every process."""
        share, rest = divmod(self.count, self.shard.world_size)
        if self.drop_last:
            return share // self.batch_size
        return -(-(share + (rest > 0)) // self.batch_size)

    def numbers(self, epoch: int, step: int) -> np.ndarray:
        """int64 [n], n ≤ batch_size: the images of a batch."""
        start, end = self._share
        first = start + step * self.batch_size
        at = np.arange(first, min(first + self.batch_size, end)) % self.count
        return _shuffled(self.count, self.seed, epoch)[at] if self.training else at

    @property
    def _share(self) -> tuple[int, int]:
        """Where this process's images begin and end in the epoch."""
        rank, world_size = self.shard.rank, self.shard.world_size
        if not self.training:
            return self.count * rank // world_size, self.count * (rank + 1) // world_size
        share = self.count // world_size if self.drop_last else -(-self.count // world_size)
        return rank * share, (rank + 1) * share


@lru_cache(maxsize=8)  # of some loaders, an epoch and, as pipelines work ahead, the next one
def _shuffled(count: int, seed: int, epoch: int) -> np.ndarray:
    """By the raw numbers of a generator, which no version of NumPy changes, as it may its permutations."""
    return np.random.Philox(key=np.array([seed, epoch], np.uint64)).random_raw(count).argsort(kind="stable")
