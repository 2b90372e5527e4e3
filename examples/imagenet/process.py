"""The process that trains: the only one, or one of several that torchrun has started."""

import os
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed

from dali_ops.device import torch_device, usable_device

PRECISIONS = {"off": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Process:
    """Where it runs, and what it shares with the others.

    Attributes:
        rank: its number, from 0.
        world_size: how many processes train together.
        dali_device: ``"cpu"`` or ``"gpu"``, as DALI calls it.
        device: the same device in torch.
        amp: dtype of automatic mixed precision, or None.
    """

    rank: int
    world_size: int
    dali_device: str
    device: torch.device
    amp: torch.dtype | None

    def print(self, text):
        """The first process prints for all of them."""
        if self.rank == 0:
            print(text, flush=True)

    def autocast(self):
        return torch.autocast(self.device.type, self.amp, enabled=self.amp is not None)

    def share(self, batch_size):
        """How many images of a batch each process has."""
        if batch_size % self.world_size:
            wrong = f"--batch-size {batch_size} is not a multiple of {self.world_size}"
            raise ValueError(f"{wrong}: it is the number of images of all {self.world_size} processes together")
        return batch_size // self.world_size

    def sum(self, tensor):
        """The sum of the tensors of all processes."""
        if self.world_size > 1:
            distributed.all_reduce(tensor)
        return tensor

    def gather(self, value):
        """The values of all processes, by rank."""
        values = [value] * self.world_size
        if self.world_size > 1:
            distributed.all_gather_object(values, value)
        return values

    def share_buffers(self, modules):
        """Copy buffers, such as the statistics of BatchNorm, from the first process to the others."""
        if self.world_size > 1:
            for module in modules:
                for buffer in module.buffers():
                    distributed.broadcast(buffer, 0)


@contextmanager
def joined(device, amp):
    """This process, in a process group with the others for as long as the context lasts."""
    dali_device, launched = usable_device(device), "LOCAL_RANK" in os.environ
    device = torch.device(torch_device(dali_device))
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
        torch.cuda.set_device(device)
        torch.backends.cudnn.benchmark = True
    if launched:
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        rank, world_size = (distributed.get_rank(), distributed.get_world_size()) if launched else (0, 1)
        yield Process(rank, world_size, dali_device, device, PRECISIONS[amp])
    finally:
        if launched:
            distributed.destroy_process_group()
