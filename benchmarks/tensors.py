"""Arrays as tensors, how many threads torch has, and what the images become everywhere: normalised, in planes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

import dalimix
from dalimix.checks import Layout

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
CLASSES, SMOOTHING = 1000, 0.1


def tensor(array: Any) -> Tensor:
    """The same memory, of an array of NumPy's, CuPy's or torch's."""
    return torch.from_dlpack(array)


def on_host(array: Any) -> np.ndarray:
    values: np.ndarray = tensor(array).cpu().numpy()
    return values


@contextmanager
def one_thread() -> Iterator[None]:
    """For torch on the CPU; afterwards it has as many as before."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def normalised(images: Any, plan: dalimix.MixPlan, dtype: str, layout: Layout = "CHW") -> Any:
    return dalimix.compose(images, plan, mean=MEAN, std=STD, dtype=dtype, output_layout=layout)
