"""Loaders with samplers, in a process that ends by SIGKILL in the middle of an epoch.

python -m tests.support.programs.killed_samplers IMAGES FOLDER

In FOLDER it leaves a state of every loader, NAME-RANK.pt, and a line for every batch before its death, NAME-RANK.
"""

from __future__ import annotations

import os
import signal
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch

from dali_ops import Loader
from dali_ops.samplers import Balanced, Repeated, Weighted
from dalimix import CutMix
from tests.support.loaders import load

COUNT, RANKS, BATCH = 24, 2, 3
SAVED, DEATH = 5, 7  # after so many batches; an epoch has four
SAMPLERS: dict[str, Any] = {
    "repeated": Repeated(3),
    "weighted": Weighted([*range(1, COUNT), 0]),
    "balanced": Balanced(),
}


def loader(images: str | Path, name: str, rank: int, **options: Any) -> Loader:
    own = {"rank": rank, "world_size": RANKS, "keep_info": True, "size": 8, "num_threads": 1, **options}
    return load(Path(images), CutMix(), BATCH, sampler=SAMPLERS[name], **own)


def line(loader: Loader, images: Any, targets: Any) -> str:
    """Which images a batch has, and what they and their targets are."""
    digest = sha256(images.numpy().tobytes() + targets.numpy().tobytes()).hexdigest()
    return f"{loader.batch_info.index.tolist()} {digest}"


def lines(loader: Loader, count: int) -> list[str]:
    """Of the next batches."""
    found: list[str] = []
    while len(found) < count:
        for images, targets in loader:
            found.append(line(loader, images, targets))
            if len(found) == count:
                break
    return found


def leave(images: str, place: Path, name: str, rank: int) -> None:
    made = loader(images, name, rank)
    batches = (batch for _ in range(2) for batch in made)
    with place.open("w") as file:
        for step in range(1, DEATH + 1):
            print(line(made, *next(batches)), file=file, flush=True)
            if step == SAVED:
                torch.save(made.state_dict(), place.with_suffix(".pt"))


def main(images: str, folder: str) -> None:
    for name in SAMPLERS:
        for rank in range(RANKS):
            leave(images, Path(folder, f"{name}-{rank}"), name, rank)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(*sys.argv[1:])
