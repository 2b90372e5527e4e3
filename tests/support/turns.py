"""The turns of compiled loops, for loops of plain Python."""

from collections.abc import Iterator

import numpy as np

from dalimix.cpu.compiled import compiled
from dalimix.cpu.parts.turns import NONE, following


@compiled
def take(turns: np.ndarray, done: int) -> int:
    return following(turns, done)


def samples(turns: np.ndarray) -> Iterator[int]:
    """Yield the samples that fall to this thread; each is finished when the next one is asked for."""
    i = take(turns, NONE)
    while i != NONE:
        yield i
        i = take(turns, i)
