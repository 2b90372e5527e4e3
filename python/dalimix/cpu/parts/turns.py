"""Which thread works on which sample of a batch. Threads of Python that hold no GIL agree on it by atomic operations.

A loop over ``turns``, int64 [4], takes one sample after another until none is left::

    i = following(turns, NO_SAMPLE)
    while i != NO_SAMPLE:
        ...
        i = following(turns, i)
    end(turns, waits)
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from dalimix.cpu.compiled import inlined

NEXT, SIZE, FINISHED, THREADS = range(4)  # the entries of `turns`
NO_SAMPLE = -1
LOOKS = 1 << 16  # at what other threads have finished: a third of a millisecond, in which most finish a sample


def begun(size: int) -> np.ndarray:
    """Return the turns of a batch of `size` samples."""
    return np.array([0, size, 0, 0], np.int64)


@inlined
def thread_number(turns: np.ndarray) -> int:
    """Return which of the threads this is that work on the batch, from 0; each may ask once."""
    return _add(turns, THREADS, 1)


@inlined
def following(turns: np.ndarray, done: int) -> int:
    """Return a sample that no thread has taken, after sample `done` is finished; NO_SAMPLE if all are taken."""
    if done != NO_SAMPLE:
        _add(turns, FINISHED, 1)
    sample = _add(turns, NEXT, 1)
    return sample if sample < turns[SIZE] else NO_SAMPLE


@inlined
def end(turns: np.ndarray, waits: bool) -> None:
    """End a loop; the thread that `waits` until all samples are finished does so here, without the GIL.

    It does not wait for ever: the system may have stopped another thread.
    """
    for _ in range(LOOKS if waits else 0):
        if _add(turns, FINISHED, 0) >= turns[SIZE]:
            break


@intrinsic
def _add(context: Any, turns: Any, entry: Any, number: Any) -> Any:
    """Add to an entry, and return what it was before; whoever sees the sum sees all that was written before."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        at = context.cast(builder, arguments[1], signature.args[1], types.intp)
        place = cgutils.get_item_pointer(context, builder, signature.args[0], array, [at])
        added = context.cast(builder, arguments[2], signature.args[2], types.int64)
        return builder.atomic_rmw("add", place, added, "seq_cst")

    return types.int64(turns, entry, number), code
