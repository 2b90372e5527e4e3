"""Which images every batch has: a pure function of epoch and step, so any batch can be made again."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from dali_ops.loader.reading.shard import ALONE, Shard
from dali_ops.samplers.random_numbers import shuffled
from dali_ops.samplers.sampler import Epochs
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

    With a sampler, the processes take the images of its epoch in turn instead, and all shares are equal.

    Attributes:
        count: of images.
        batch_size: of one process.
        training: shuffled in every epoch.
        drop_last: whether batches that are not full are left out.
        seed: of the shuffling, the same for all processes.
        shard: which process.
        epochs: those of a sampler, for training; None: all images have their turn.

    Raises:
        TypeError, ValueError: an argument is not as described.
    """

    count: int
    batch_size: int
    training: bool = False
    drop_last: bool = False
    seed: int = 0
    shard: Shard = ALONE
    epochs: Epochs | None = None

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
        return self.share // self.batch_size if self.drop_last else -(-self.share // self.batch_size)

    @cached_property
    def share(self) -> int:
        """Images of a process in an epoch; in validation, of the one with most of them."""
        if self.epochs is not None:
            return self.epochs.share(self.shard.world_size)
        share, rest = divmod(self.count, self.shard.world_size)
        return share if self.drop_last else share + (rest > 0)

    def numbers(self, epoch: int, step: int) -> np.ndarray:
        """Return int64 [n], n ≤ batch_size: the images of a batch.

        Raises:
            ValueError: there is no such epoch or step.
        """
        epoch = checked_epoch(epoch)
        if not is_whole(step) or not 0 <= step < self.steps:
            raise ValueError(f"step must be one of the {self.steps} of an epoch, from 0, got {step!r}")
        places = self._places(int(step) * self.batch_size)
        if self.epochs is not None:
            return self.epochs.numbers(places, self.seed, epoch)
        return shuffled(self.count, self.seed, epoch)[places % self.count] if self.training else places

    def _places(self, first: int) -> np.ndarray:
        """int64 [n]: where in the epoch the images of a batch are whose first one is the `first` of its share."""
        rank, world_size = self.shard.rank, self.shard.world_size
        if self.epochs is not None:
            return rank + world_size * np.arange(first, min(first + self.batch_size, self.share))
        start, end = rank * self.share, (rank + 1) * self.share
        if not self.training:
            start, end = self.count * rank // world_size, self.count * (rank + 1) // world_size
        return np.arange(start + first, min(start + first + self.batch_size, end))


def checked_epoch(epoch: int) -> int:
    """Return the number of an epoch as Python's int. Raises ValueError: none has this number."""
    checks.numbers(epoch=epoch)
    if epoch >= EPOCHS:
        raise ValueError(f"epoch must be below 2**63, got {epoch}")
    return int(epoch)
