"""Which of several processes this one is."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from dali_ops.device import number_in_environment
from dalimix.support.numbers import is_whole


@dataclass(frozen=True)
class Shard:
    """One of `world_size` processes that share a data set, counted from 0 by `rank`."""

    rank: int = 0
    world_size: int = 1

    def __post_init__(self) -> None:
        whole = is_whole(self.rank) and is_whole(self.world_size)
        if not whole or not 0 <= self.rank < self.world_size:
            raise ValueError(f"rank must be in 0 … world_size - 1, got {self.rank!r} of {self.world_size!r}")
        object.__setattr__(self, "rank", int(self.rank))  # NumPy's would not fit into a state
        object.__setattr__(self, "world_size", int(self.world_size))

    @classmethod
    def of(cls, rank: int | None, world_size: int | None) -> Shard:
        """Return the shard that is given; None: as torch.distributed knows, or the only one if that does not run.

        Raises:
            ValueError: only one of the two is given; or none, and torch.distributed does not run yet though a launcher
                such as torchrun has started several processes, which would all read everything.
        """
        if (rank is None) != (world_size is None):
            raise ValueError(f"rank and world_size go together, got {rank!r} and {world_size!r}")
        if rank is not None and world_size is not None:
            return cls(rank, world_size)
        return shard_of_torch() or _only_one()


ALONE = Shard()


def shard_of_torch() -> Shard | None:
    """Return this process as torch.distributed counts it; None if that does not run."""
    torch = sys.modules.get("torch")  # whoever has a process group has imported torch
    if torch is None or not torch.distributed.is_available() or not torch.distributed.is_initialized():
        return None
    return Shard(torch.distributed.get_rank(), torch.distributed.get_world_size())


def _only_one() -> Shard:
    launched = number_in_environment("WORLD_SIZE", lowest=1) or 1
    if launched > 1:
        remedy = "call torch.distributed.init_process_group first, or give rank= and world_size="
        raise ValueError(f"{launched} processes were launched, but torch.distributed does not run yet: {remedy}")
    return ALONE
