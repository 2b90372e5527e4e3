"""For torchrun: examples/imagenet/train.py with a log of every batch.

python -m tests.support.programs.imagenet_ranks FOLDER ARGUMENTS OF THE EXAMPLE

The first time there are two runs, with their outputs in FOLDER/whole and FOLDER/parts, of which the second one is
killed. The next time this one is resumed. The logs are FOLDER/batches-NAME-RANK, of the runs whole, killed, resumed.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from torch import Tensor, distributed

from dali_ops.loader.prefetcher import Prefetcher
from tests.support.paths import EXAMPLES

sys.path.insert(0, str(EXAMPLES / "imagenet"))
import train  # type: ignore[import-not-found]

NEXT, ACCURACIES = Prefetcher.next, train.Learner.accuracies
DEATH = 1, 2  # (epoch, step): the processes are gone before they have this batch


def digest(*tensors: Tensor) -> str:
    return hashlib.sha256(b"".join(tensor.numpy().tobytes() for tensor in tensors)).hexdigest()


def log_batches(path: Path, death: tuple[int, int] | None) -> None:
    """Write a line for every batch that training gets."""

    def logged(self: Any, loop: object) -> Any:
        at = (self.epoch, self.step)
        if self.settings.training and at == death:
            os.kill(os.getpid(), signal.SIGKILL)
        outputs = NEXT(self, loop)
        if self.settings.training:
            numbers = self.feed.numbers(*at).tolist()
            entry = [*at, self.feed.order.shard.rank, numbers, digest(outputs["images"], outputs["targets"])]
            with path.open("a") as file:
                file.write(json.dumps(entry) + "\n")
        return outputs

    Prefetcher.next = logged  # type: ignore[method-assign]


def accuracies(self: Any, loader: Any) -> Any:
    """When the models are measured, they are the same in every process, with all their buffers."""
    measured = ACCURACIES(self, loader)
    digests = self.process.gather(digest(*(value for model in self.models for value in model.state_dict().values())))
    assert len(set(digests)) == 1, digests
    return measured


def main(folder: str, *arguments: str) -> None:
    def run(name: str, out: str, *more: str, death: tuple[int, int] | None = None) -> None:
        log_batches(Path(folder, f"batches-{name}-{os.environ['RANK']}"), death)
        train.main([*arguments, "--out", str(Path(folder, out)), *more])

    train.Learner.accuracies = accuracies
    if Path(folder, "parts").exists():
        run("resumed", "parts", "--resume")
    else:
        distributed.init_process_group("gloo")  # once for two runs
        distributed.init_process_group = distributed.destroy_process_group = lambda *_: None
        run("whole", "whole")
        run("killed", "parts", death=DEATH)


if __name__ == "__main__":
    main(*sys.argv[1:])
