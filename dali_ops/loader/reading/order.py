"""Which images every batch has: a pure function of epoch and step, so any batch can be made again."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from dali_ops.loader.reading.shard import ALONE, Shard
from dalimix import checks
from dalimix.support.numbers import is_whole

SEEDS, EPOCHS = 1 << 64, 1 << 63  # how many of each are possible


@dataclass(frozen=True)
class Order:
    """The batches of one process, by the indices of their images.

    Every epoch is cut into as many shares as there are processes, one after the other, and every share into batches.
    All processes make the same number of steps:

    * with `drop_last`, all shares and all batches are full; the images that remain are left out, and in every
      shuffled epoch they are other ones;
    * in training otherwise, a share that would be one image shorter gets one of the first images once more, as in
      torch's DistributedSampler;
    * in validation otherwise, every image comes exactly once, and the last batch of a process may be empty.

    Attributes:
        count: of images.
        batch_size: of one process.
        training: shuffled in every epoch.
        drop_last: whether batches that are not full are left out.
        seed: of the shuffling, the same for all processes.
        shard: which process.

    Raises:
        TypeError, ValueError: an argument is not as described.
    """

    count: int
    batch_size: int
    training: bool = False
    drop_last: bool = False
    seed: int = 0
    shard: Shard = ALONE

    def __post_init__(self) -> None:
        checks.counts(count=self.count, batch_size=self.batch_size)
        if not is_whole(self.seed) or not 0 <= self.seed < SEEDS:
            raise ValueError(f"seed must be a whole number from 0, below 2**64, got {self.seed!r}")
        checks.kind("shard", self.shard, Shard, "a Shard")
        for name in ("count", "batch_size", "seed"):
            object.__setattr__(self, name, int(getattr(self, name)))  # NumPy's would not fit into a state
        for name in ("training", "drop_last"):
            object.__setattr__(self, name, checks.flag(name, getattr(self, name)))

    @cached_property
    def steps(self) -> int:
        """Batches per epoch, the same for every process."""
        share, rest = divmod(self.count, self.shard.world_size)
        if self.drop_last:
            return share // self.batch_size
        return -(-(share + (rest > 0)) // self.batch_size)

    def numbers(self, epoch: int, step: int) -> np.ndarray:
        """Return int64 [n], n ≤ batch_size: the images of a batch.

        Raises:
            ValueError: there is no such epoch or step.
        """
        epoch = checked_epoch(epoch)
        if not is_whole(step) or not 0 <= step < self.steps:
            raise ValueError(f"step must be one of the {self.steps} of an epoch, from 0, got {step!r}")
        start, end = self._share
        first = start + int(step) * self.batch_size
        at = np.arange(first, min(first + self.batch_size, end)) % self.count
        return shuffled(self.count, self.seed, epoch)[at] if self.training else at

    @property
    def _share(self) -> tuple[int, int]:
        """Where this process's images begin and end in the epoch."""
        rank, world_size = self.shard.rank, self.shard.world_size
        if not self.training:
            return self.count * rank // world_size, self.count * (rank + 1) // world_size
        share = self.count // world_size if self.drop_last else -(-self.count // world_size)
        return rank * share, (rank + 1) * share


def checked_epoch(epoch: int) -> int:
    """Return the number of an epoch as Python's int. Raises ValueError: none has this number."""
    checks.numbers(epoch=epoch)
    if epoch >= EPOCHS:
        raise ValueError(f"epoch must be below 2**63, got {epoch}")
    return int(epoch)


@lru_cache(maxsize=8)  # for a few loaders, an epoch and, as pipelines work ahead, the next one
def shuffled(count: int, seed: int, epoch: int) -> np.ndarray:
    """Shuffle by a generator's raw numbers, which no version of NumPy changes, as it may its permutations."""
    return np.random.Philox(key=np.array([seed, epoch], np.uint64)).random_raw(count).argsort(kind="stable")
