"""For torchrun: examples/imagenet/train.py with a log of every batch, which may die at one of them.

python -m tests.support.programs.imagenet_ranks LOG EPOCH:STEP|never ARGUMENTS OF THE EXAMPLE
"""

import hashlib
import json
import os
import signal
import sys
from pathlib import Path

from dali_ops.loader.stepper import Stepper
from tests.support.paths import EXAMPLES


def digest(*tensors):
    return hashlib.sha256(b"".join(tensor.numpy().tobytes() for tensor in tensors)).hexdigest()


def log_batches(path, death):
    """A line for every batch that training gets; at `death`, an (epoch, step), the process is gone before it has it."""
    original = Stepper.next

    def logged(self):
        at = (self.epoch, self.step)
        if self.settings.training and at == death:
            os.kill(os.getpid(), signal.SIGKILL)
        outputs = original(self)
        if self.settings.training:
            numbers = self.feed.numbers(*at).tolist()
            entry = [*at, self.feed.order.shard.rank, numbers, digest(outputs["images"], outputs["targets"])]
            with path.open("a") as file:
                file.write(json.dumps(entry) + "\n")
        return outputs

    Stepper.next = logged


def check_models(learner):
    """When they are measured, they are the same in every process, with all that they keep."""
    original = learner.accuracies

    def checked(self, loader):
        accuracies = original(self, loader)
        digests = self.process.gather(
            digest(*(value for model in self.models for value in model.state_dict().values()))
        )
        assert len(set(digests)) == 1, digests
        return accuracies

    learner.accuracies = checked


def main(log, death, *arguments):
    path = Path(f"{log}-{os.environ['RANK']}")
    log_batches(path, None if death == "never" else tuple(map(int, death.split(":"))))
    sys.path.insert(0, str(EXAMPLES / "imagenet"))
    import train

    check_models(train.Learner)
    train.main(arguments)


if __name__ == "__main__":
    main(*sys.argv[1:])
