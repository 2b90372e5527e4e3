"""The way that a batch takes on a GPU, without one: NumPy arrays stand for CuPy's, and no kernel runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from unittest.mock import patch

import dalimix.cpu  # so that importing it again does not undo what is patched here
import dalimix.cuda.loader


class Launch(NamedTuple):
    """What a launcher asked for."""

    kernel: str
    symbols: tuple[tuple[str, str | int], ...]  # of the preprocessor
    grid: tuple[int, ...]
    threads: int  # of a block


@contextmanager
def launchers_on_numpy(load_kernel: Callable[..., Any]) -> Iterator[None]:
    """Public functions hand NumPy arrays to the CUDA launchers, and these get their kernels from `load_kernel`."""
    with (
        patch.object(dalimix, "cpu", dalimix.cuda),
        patch.object(dalimix.cuda.loader, "load_kernel", load_kernel),
    ):
        yield


def launches_of(run: Callable[[], object]) -> list[Launch]:
    """All that `run` would launch, in its order."""
    noted: list[Launch] = []

    def load_kernel(name: str, **symbols: str | int) -> Callable[..., None]:
        def kernel(grid: tuple[int, ...], block: tuple[int, ...], arguments: tuple[Any, ...]) -> None:
            noted.append(Launch(name, tuple(symbols.items()), grid, *block))

        return kernel

    with launchers_on_numpy(load_kernel):
        run()
    return noted
