"""A kernel whose threads read what their neighbours write, with a barrier between the two or without.

python -m tests.support.programs.neighbours ORDER    prints what comes of it without a barrier
"""

from __future__ import annotations

import sys

import numpy as np

from tests.support.host import HostKernel
from tests.support.paths import TEST_KERNELS

NUMBERS = np.random.default_rng(0).integers(-1000, 1000, 64).astype(np.int32)


def neighbours(barrier: int) -> bool:
    """Whether each thread saw what the one before it wrote."""
    output = np.zeros(64, np.int32)
    HostKernel(TEST_KERNELS / "neighbour.cu", BARRIER=barrier)((1,), (64,), (NUMBERS, output))
    return output.tolist() == [0, *NUMBERS[:63].tolist()]


if __name__ == "__main__":
    HostKernel.order = sys.argv[1]
    sys.stdout.write(f"{neighbours(barrier=0)}\n")
