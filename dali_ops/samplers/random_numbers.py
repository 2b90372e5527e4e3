"""Random numbers of an epoch: generators' raw ones, which no version of NumPy changes, as it may its distributions."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

WORDS = 4  # that Philox makes at once, of 64 bits


@lru_cache(maxsize=8)  # for a few loaders, an epoch and, as pipelines work ahead, the next one
def shuffled(count: int, seed: int, epoch: int) -> np.ndarray:
    """Int64 [count]: so many numbers from 0, in random order."""
    words: np.ndarray = _philox(seed, epoch).random_raw(count)
    return words.argsort(kind="stable")


def uniform(places: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    """Float64 [n] in [0, 1): what is at these places, int64 [n], which ascend, of a sequence without end."""
    start = int(places[0]) // WORDS
    words: np.ndarray = _philox(seed, epoch, start).random_raw(int(places[-1]) + 1 - start * WORDS)
    own: np.ndarray = words[places - start * WORDS] >> np.uint64(11)
    return own * 2.0**-53


def _philox(seed: int, epoch: int, start: int = 0) -> np.random.Philox:
    return np.random.Philox(key=np.array([seed, epoch], np.uint64), counter=start)
