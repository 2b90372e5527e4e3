"""For a process of its own, as it forks workers: the batches that examples/proxy.py makes of a folder, in files.

python -m tests.support.programs.proxy_batches FOLDER OUT      the first of several workers reads slowly

Each of RUNS is a fork of this process, so that torch and DALI are imported once, and writes OUT/NAME.npz.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import get_worker_info

from tests.support.paths import EXAMPLES

sys.path.insert(0, str(EXAMPLES))
import proxy  # type: ignore[import-not-found]

from dali_ops.sources import ImageFolder

RUNS = {"unseeded": (2, None), "one worker": (1, 5), "two workers": (2, 5), "another seed": (1, 6)}  # workers, seed
BATCH, SIZE = 4, 32
ENOUGH = 200  # seconds
AHEAD = 1.0  # seconds, enough for the workers to read all batches that they may read ahead


class Sluggish(proxy.Files):
    def __getitem__(self, k: int) -> Any:
        info = get_worker_info()
        time.sleep(0.05 if info.num_workers > 1 and info.id == 0 else 0)
        return super().__getitem__(k)


def epochs(folder: ImageFolder, workers: int, seed: int | None) -> Iterator[list[Any]]:
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


def write(folder: ImageFolder, path: Path, workers: int, seed: int | None) -> None:
    torch.manual_seed(0)
    batches = list(epochs(folder, workers, seed))
    images, targets = ([[batch[k].numpy() for batch in epoch] for epoch in batches] for k in (0, 1))
    sizes = [[len(batch) for batch in epoch] for epoch in images]
    joined: dict[str, Any] = {"images": np.stack([np.concatenate(epoch) for epoch in images]), "sizes": np.array(sizes)}
    np.savez(path, targets=np.stack([np.concatenate(epoch) for epoch in targets]), **joined)


def main(root: str, out: str) -> int:
    """The exit status: 0 if every run has ended well."""
    proxy.SIZE, proxy.Files = SIZE, Sluggish
    folder, fork = ImageFolder.scan(root), multiprocessing.get_context("fork")
    runs = [fork.Process(target=write, args=(folder, Path(out, f"{name}.npz"), *RUNS[name])) for name in RUNS]
    for run in runs:
        run.start()
    deadline = time.monotonic() + ENOUGH
    for run in runs:
        run.join(max(0, deadline - time.monotonic()))
        run.kill()  # if it hangs
    return int(any(run.exitcode != 0 for run in runs))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
