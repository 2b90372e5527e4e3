"""Where and how a loader runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dali_ops.device import check_device, default_threads, device_number, local_id, usable_device
from dali_ops.keywords import part_of_loader
from dalimix import checks

PINNED = "pin_memory is for device='cpu' on a machine with a GPU, to which the batches then go"
MOST_THREADS, MOST_BATCHES = 1024, 1024  # DALI's threads; batches worked ahead


@part_of_loader("runtime")
@dataclass(frozen=True)
class Runtime:
    """Where and how a loader runs. It changes only the speed and the device of the batches, not their contents.

    Args:
        device: ``"gpu"`` or ``"cpu"``, also as torch calls it, such as ``"cuda:1"``; None: the GPU if there is one.
        device_id: which GPU; None: as `device` says, else that of ``LOCAL_RANK``, which torchrun sets, else torch's
            current one.
        num_threads: DALI's threads on the CPU; None: as many as there are cores for each process on this machine, 8 at
            most.
        prefetch: how many batches the pipeline works ahead.
        pin_memory: on the CPU, images and targets in page-locked memory, for copies to a GPU.

    Raises:
        TypeError, ValueError: an argument is not as described. Whether the device exists, the loader checks.
        ModuleNotFoundError: a GPU without CuPy.

    Examples:
        >>> runtime = Runtime(device="cpu", num_threads=2, prefetch=3)
        >>> with ImageFolderLoader(folder, CutMix(), batch_size=4, runtime=runtime, transform=Train(32)) as loader:
        ...     loader.device
        'cpu'
    """

    device: Any = None
    device_id: int | None = None
    num_threads: int | None = None
    prefetch: int = 2
    pin_memory: bool = False

    def __post_init__(self) -> None:
        kind = None if self.device is None else check_device(self.device)
        if self.device_id is not None:
            checks.numbers(device_id=self.device_id)
        if self.device_id is not None and kind is not None:
            self._check_id(kind, device_number(self.device))
        if self.num_threads is not None:
            object.__setattr__(self, "num_threads", checks.count("num_threads", self.num_threads, MOST_THREADS))
        object.__setattr__(self, "prefetch", checks.count("prefetch", self.prefetch, MOST_BATCHES))
        object.__setattr__(self, "pin_memory", checks.flag("pin_memory", self.pin_memory))
        if self.pin_memory and kind == "gpu":
            raise ValueError(PINNED)

    def resolved(self) -> tuple[str, int | None]:
        """Return ``"cpu"`` or ``"gpu"``, and the number of the GPU.

        Raises:
            ValueError: the device does not exist, or `device` and `device_id` contradict each other.
        """
        kind, number = usable_device(self.device), device_number(self.device)
        if self.device_id is not None:
            self._check_id(kind, number)
            usable_device(f"cuda:{self.device_id}")
        return kind, None if kind == "cpu" else local_id(self.device_id if number is None else number)

    def _check_id(self, kind: str, number: int | None) -> None:
        device, device_id = self.device, self.device_id
        if kind == "cpu":
            reason = "there is no CUDA device that CuPy can use" if device is None else f"device is {str(device)!r}"
            raise ValueError(f"device_id is for a GPU, got {device_id}, but {reason}")
        if number not in (None, device_id):
            raise ValueError(f"device_id is {device_id}, but device is {str(device)!r}: give one of them")

    def of_pipeline(self, batch_size: int, device_id: int | None) -> dict[str, Any]:
        """Return the arguments that every DALI pipeline takes."""
        return {
            "batch_size": batch_size,
            "num_threads": default_threads() if self.num_threads is None else self.num_threads,
            "device_id": device_id,
            "prefetch_queue_depth": self.prefetch,
            "enable_checkpointing": True,
        }

    def pins(self, device: str) -> bool:
        """Whether batches are pinned.

        Raises:
            ValueError: there is no GPU to which pinned memory would be copied.
        """
        if not self.pin_memory:
            return False
        import torch

        if device == "gpu" or not torch.cuda.is_available():
            raise ValueError(PINNED)
        return True
