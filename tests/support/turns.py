"""The turns of compiled loops, for loops of plain Python."""

from collections.abc import Iterator

import numpy as np

from dalimix.cpu.compiled import without_gil
from dalimix.cpu.parts.turns import NO_SAMPLE, end, following


@without_gil
def take(turns: np.ndarray, done: int) -> int:
    return following(turns, done)


@without_gil
def over(turns: np.ndarray, waits: bool) -> None:
    end(turns, waits)


def samples(turns: np.ndarray, waits: bool) -> Iterator[int]:
    """Yield the samples that fall to this thread; each is finished when the next one is asked for."""
    i = take(turns, NO_SAMPLE)
    while i != NO_SAMPLE:
        yield i
        i = take(turns, i)
    over(turns, waits)
