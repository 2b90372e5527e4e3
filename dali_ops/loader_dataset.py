"""A loader as torch's IterableDataset."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NoReturn

from torch import distributed
from torch.utils.data import IterableDataset, get_worker_info

if TYPE_CHECKING:
    from dali_ops.loader import Loader

NO_WORKERS = "a loader works in threads of its own: give the DataLoader num_workers=0"


class LoaderDataset(IterableDataset):
    """Whole batches of a loader, with its length and state, as a DataLoader without workers passes them on.

    Attributes:
        loader: with `batch_info` and all else.
        gather: whether a state is that of all processes, see `dali_ops.Loader.as_dataset`.

    Raises:
        RuntimeError: in a worker process of a DataLoader, or on the way there.
    """

    def __init__(self, loader: Loader, gather: bool = False) -> None:
        super().__init__()
        self.loader, self.gather = loader, gather

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        if get_worker_info() is not None:
            raise RuntimeError(NO_WORKERS)
        return iter(self.loader)

    def __len__(self) -> int:
        return len(self.loader)

    def __getstate__(self) -> NoReturn:
        """No copy of a pipeline can be had; workers that are not forked, as of Python 3.14, would ask for one."""
        raise RuntimeError(NO_WORKERS)

    def set_epoch(self, epoch: int) -> None:
        self.loader.set_epoch(epoch)

    def state_dict(self) -> dict[str, Any]:
        own = self.loader.state_dict()
        if not self.gather:
            return own
        states: list[Any] = [None] * distributed.get_world_size()
        distributed.all_gather_object(states, own)
        return {"ranks": states}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.loader.load_state_dict(state["ranks"][distributed.get_rank()] if self.gather else state)
