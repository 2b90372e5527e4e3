"""A loader as torch's IterableDataset."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NoReturn

from torch import distributed
from torch.utils.data import ChainDataset, IterableDataset, get_worker_info

from dali_ops.loader.reading.shard import ALONE, Shard, shard_of_torch

if TYPE_CHECKING:
    from dali_ops.loader.loader import Loader

NO_WORKERS = "a loader works in threads of its own: give the DataLoader num_workers=0"
WHOLE_BATCHES = "a loader yields whole batches: give the DataLoader batch_size=None, or it makes batches of batches"


class LoaderDataset(IterableDataset):
    """Whole batches of a loader, with its length and state, for a DataLoader without workers.

    Attributes:
        loader: the loader, with `batch_info` and everything else.
        gather: whether a state holds the states of all processes, see `dali_ops.Loader.as_dataset`.

    Raises:
        RuntimeError: in a worker process of a DataLoader, or on the way there.
        ValueError: a DataLoader has another batch_size than None, raised when it begins; `gather` without
            torch.distributed, for one process of several.
    """

    def __init__(self, loader: Loader, gather: bool = False) -> None:
        super().__init__()
        processes = loader.shard.world_size
        if gather and processes > 1 and _group().world_size == 1:
            raise ValueError(f"gather=True needs torch.distributed, which does not run, but there are "
                             f"{processes} processes: call init_process_group first")  # fmt: skip
        self.loader, self.gather = loader, gather

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        if get_worker_info() is not None:
            raise RuntimeError(NO_WORKERS)
        caller = sys._getframe(1)
        while isinstance(caller.f_locals.get("self"), ChainDataset) and caller.f_back is not None:
            caller = caller.f_back
        if getattr(caller.f_locals.get("self"), "auto_collation", False) is True:  # of a DataLoader's fetcher
            raise ValueError(WHOLE_BATCHES)
        return iter(self.loader)

    def __len__(self) -> int:
        return len(self.loader)

    def __getstate__(self) -> NoReturn:
        """Refuse a copy, since a pipeline has none; workers that are not forked, as in Python 3.14, would need one."""
        raise RuntimeError(NO_WORKERS)

    def set_epoch(self, epoch: int) -> None:
        self.loader.set_epoch(epoch)

    def state_dict(self) -> dict[str, Any]:
        own = self.loader.state_dict()
        if not self.gather:
            return own
        states: list[Any] = [own] * _group().world_size
        if shard_of_torch() is not None:
            distributed.all_gather_object(states, own)
        return {"ranks": states}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.loader.load_state_dict(_own_part(state) if self.gather else state)


def _group() -> Shard:
    """This process as torch.distributed counts it, or as the only one."""
    return shard_of_torch() or ALONE


def _own_part(state: Any) -> Any:
    """This process's part of a state of all processes."""
    states, group = state.get("ranks") if isinstance(state, dict) else None, _group()
    if not isinstance(states, list):
        raise TypeError("state must be that of all processes, as state_dict() of as_dataset(gather=True) returned it, "
                        f"got {type(state).__name__} without a list of ranks")  # fmt: skip
    if len(states) != group.world_size:
        raise ValueError(f"the state is of {len(states)} processes, here there are {group.world_size}")
    return states[group.rank]
