"""What a forked process has lost: the threads of its parent, for which torch would wait for ever."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class _Process:
    """`forked`: whether this one came of another by a fork, as far as it is known."""

    def __init__(self) -> None:
        here = sys.modules.get("multiprocessing.process")  # where this is first imported in a worker
        self.forked = here is not None and type(here.current_process()).__name__ == "ForkProcess"
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._note)

    def _note(self) -> None:
        self.forked = True


_process = _Process()


@contextmanager
def one_thread(torch: Any) -> Iterator[None]:
    """In a forked process, what torch computes inside it computes on this thread; elsewhere, nothing changes.

    The workers of a `DataLoader` are so anyway, but not those of a `multiprocessing.Pool`.
    """
    threads = torch.get_num_threads() if _process.forked else 1
    if threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
