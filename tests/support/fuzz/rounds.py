"""How often a fuzz tries: as often as a test says, times the environment variable DALIMIX_FUZZ."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator


def times(usual: int) -> int:
    return int(usual * float(os.environ.get("DALIMIX_FUZZ", "1")))


def rounds(usual: int) -> Iterator[random.Random]:
    """A generator of random numbers for each round, the same in every run."""
    return map(random.Random, range(times(usual)))
