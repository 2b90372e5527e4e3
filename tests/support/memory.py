"""What memory this process holds."""

from __future__ import annotations

import gc
import resource
from pathlib import Path


def used() -> int:
    """Bytes, after what nobody refers to has gone."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def used_with_torch(device: str) -> tuple[int, int]:
    """The same, and the bytes that torch has given out on the GPU."""
    import torch

    return used(), torch.cuda.memory_allocated() if device == "gpu" else 0
