"""Torch beside NumPy and CuPy: arrays as tensors, and how many threads torch has."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor


def tensor(array: Any) -> Tensor:
    """The same memory, of an array of NumPy's, CuPy's or torch's."""
    return torch.from_dlpack(array)


def on_host(array: Any) -> np.ndarray:
    return tensor(array).cpu().numpy()


@contextmanager
def one_thread() -> Iterator[None]:
    """For torch on the CPU; afterwards it has as many as before."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
