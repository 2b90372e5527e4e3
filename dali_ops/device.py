"""Where pipelines run."""

from __future__ import annotations

import ctypes
import os
from importlib.util import find_spec

from dalimix.packages import missing


def usable_device(device: str | None) -> str:
    """`device` if it can be used; None: ``"gpu"`` if there is one, else ``"cpu"``.

    Raises:
        ValueError: another name, or ``"gpu"`` on a machine without a CUDA device.
        ModuleNotFoundError: ``"gpu"`` without CuPy.
    """
    if device is None:
        return "gpu" if _device_count() else "cpu"
    check_device(device)
    if device == "gpu" and not _device_count():
        raise ValueError("device='gpu', but there is no CUDA device that CuPy can use")
    return device


def check_device(device: str) -> None:
    """As `usable_device`, but without touching the driver."""
    if not isinstance(device, str) or device not in ("cpu", "gpu"):
        raise ValueError(f"device must be 'cpu' or 'gpu', got {device!r}")
    if device == "gpu" and find_spec("cupy") is None:
        raise missing("device='gpu'", "cupy")


def default_id(device: str) -> int | None:
    """`device_id` of a pipeline: the first GPU, or none."""
    return 0 if device == "gpu" else None


def default_threads() -> int:
    """Of DALI on the CPU: as many as there are cores for each process that torchrun started here, 8 at most."""
    cores = len(os.sched_getaffinity(0)) // int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    return min(max(cores, 1), 8)


def local_id(device_id: int | None) -> int:
    """`device_id`; None: the GPU of this process among those that torchrun started here, else torch's current one."""
    import torch

    if device_id is not None:
        return device_id
    rank, count = int(os.environ.get("LOCAL_RANK", -1)), _device_count()
    if rank >= count > 1:
        raise ValueError(f"LOCAL_RANK is {rank}, but there are {count} GPUs here: start one process for each")
    return torch.cuda.current_device() if rank < 0 else min(rank, count - 1)  # some launchers let each see only its own


def device_name(device: str) -> str:
    """What a person calls it: the name of the GPU, or the CPU."""
    if device == "cpu":
        return "CPU (NumPy twin, no GPU used)"
    import cupy

    name = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.runtime.getDevice())["name"]
    return name.decode()


def _device_count() -> int:
    """How many GPUs CuPy can use. If the driver has some and CuPy fails, its error is raised, not hidden."""
    if not _devices_of_the_driver():
        return 0
    check_device("gpu")
    import cupy

    return int(cupy.cuda.runtime.getDeviceCount())


def _devices_of_the_driver() -> int:
    """Asked without CuPy; 0 where there is no driver."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    failed = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
    return 0 if failed else count.value
