"""For a process of its own, as it forks workers: the batches that examples/proxy.py makes of a folder, in a file.

python -m tests.support.programs.proxy_batches FOLDER FILE WORKERS [SEED]      the first of several workers reads slowly
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import get_worker_info

from tests.support.paths import EXAMPLES

sys.path.insert(0, str(EXAMPLES))
import proxy

from dali_ops.sources import ImageFolder

BATCH, SIZE = 4, 32
AHEAD = 1.0  # seconds, enough for the workers to read all batches that they may read ahead


class Sluggish(proxy.Files):
    def __getitem__(self, k: int) -> Any:
        info = get_worker_info()
        time.sleep(0.05 if info.num_workers > 1 and info.id == 0 else 0)
        return super().__getitem__(k)


def epochs(folder: ImageFolder, workers: Any, seed: int | None) -> Iterator[Any]:
    """Two epochs; a third is left after its first batch; and a fourth. All but the third, as lists of batches."""
    server, loader = proxy.server_and_loader(folder, BATCH, workers, "cpu", seed)
    with server:
        yield [server.produce_data(tokens) for tokens in loader]
        yield [server.produce_data(tokens) for tokens in loader]
        abandoned = iter(loader)
        server.produce_data(next(abandoned))
        time.sleep(AHEAD)
        del abandoned
        yield [server.produce_data(tokens) for tokens in loader]


def main(root: str, path: str, workers: str, seed: str | None = None) -> None:
    proxy.SIZE, proxy.Files = SIZE, Sluggish
    torch.manual_seed(0)
    batches = list(epochs(ImageFolder.scan(root), int(workers), None if seed is None else int(seed)))
    images, targets = ([[batch[k].numpy() for batch in epoch] for epoch in batches] for k in (0, 1))
    sizes = [[len(batch) for batch in epoch] for epoch in images]
    joined: dict[str, Any] = {"images": np.stack([np.concatenate(epoch) for epoch in images]), "sizes": np.array(sizes)}
    np.savez(path, targets=np.stack([np.concatenate(epoch) for epoch in targets]), **joined)


if __name__ == "__main__":
    main(*sys.argv[1:])
