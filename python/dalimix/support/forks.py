"""What a forked process lacks: the threads of its parent, for which torch would wait forever."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class _Process:
    """`forked`: whether this process came from another by a fork, as far as that is known."""

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
    """In a forked process, let torch compute on this thread while the context is entered; elsewhere, do nothing.

    The workers of a `DataLoader` do so anyway, but not those of a `multiprocessing.Pool`.
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
