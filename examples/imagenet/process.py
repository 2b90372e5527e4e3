"""Where a process of train_imagenet.py runs, and what it shares with the others that torchrun started."""

import os
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed

from dali_ops.device import torch_device, usable_device

PRECISIONS = {"off": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Place:
    """One of several processes, or the only one.

    Attributes:
        rank, processes: which one, of how many.
        dali: ``"cpu"`` or ``"gpu"``.
        device: the same for torch.
        amp: dtype of automatic mixed precision, or None.
    """

    rank: int
    processes: int
    dali: str
    device: torch.device
    amp: torch.dtype | None

    @property
    def first(self):
        """Whether it is the one that prints and writes."""
        return self.rank == 0

    def say(self, text):
        if self.first:
            print(text, flush=True)

    def autocast(self):
        return torch.autocast(self.device.type, self.amp, enabled=self.amp is not None)

    def total(self, numbers):
        """The sum over all processes, of a tensor that each has."""
        if self.processes > 1:
            distributed.all_reduce(numbers)
        return numbers

    def gathered(self, thing):
        """What each process has, in the order of their ranks."""
        things = [thing]
        if self.processes > 1:
            things = [None] * self.processes
            distributed.all_gather_object(things, thing)
        return things

    def with_one_state(self, modules):
        """Buffers, such as the statistics of BatchNorm, as the first process has them; it also writes them."""
        if self.processes > 1:
            for module in modules:
                for buffer in module.buffers():
                    distributed.broadcast(buffer, 0)


@contextmanager
def joined(device, amp):
    """The place of this process, with the others as long as it lasts."""
    dali, launched = usable_device(device), "LOCAL_RANK" in os.environ
    here = torch.device(torch_device(dali))
    if here.type == "cuda":
        here = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
        torch.cuda.set_device(here)
        torch.backends.cudnn.benchmark = True
    if launched:
        distributed.init_process_group("nccl" if here.type == "cuda" else "gloo")
    try:
        rank, processes = (distributed.get_rank(), distributed.get_world_size()) if launched else (0, 1)
        yield Place(rank, processes, dali, here, PRECISIONS[amp])
    finally:
        if launched:
            distributed.destroy_process_group()
