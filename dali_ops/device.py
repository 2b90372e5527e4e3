"""The devices on which pipelines run."""

from __future__ import annotations

import ctypes
import os
import re
from importlib.util import find_spec
from typing import Any

from dalimix import checks
from dalimix.support.packages import missing

DEVICES = {"cpu": "cpu", "gpu": "cuda"}  # torch's names for DALI's devices

NOT_INITIALIZED = 3  # CUDA_ERROR_NOT_INITIALIZED of the driver's interface
DEVICE = re.compile("(?P<cpu>cpu(:0)?)|(gpu|cuda)(:(?P<number>[0-9]{1,9}))?")


def usable_device(device: Any = None) -> str:
    """Return ``"cpu"`` or ``"gpu"``, if it can be used; for None ``"gpu"`` if there is one, else ``"cpu"``.

    Args:
        device: ``"cpu"``, ``"gpu"``, ``"cuda"``, ``"cuda:1"``, or a device of torch or of DALI's dynamic mode.

    Raises:
        TypeError: `device` is not a device.
        ValueError: another name, or a GPU that this machine does not have.
        ModuleNotFoundError: a GPU without CuPy.

    Examples:
        >>> usable_device("cpu")
        'cpu'
    """
    if device is None:
        return "gpu" if _device_count() else "cpu"
    kind, number = check_device(device), device_number(device)
    if kind == "gpu" and not _device_count():
        raise ValueError(f"device={str(device)!r}, but there is no CUDA device that CuPy can use: "
                         "give device='cpu', or leave it out")  # fmt: skip
    if number is not None and number >= (count := _device_count()):
        raise ValueError(f"device={str(device)!r}, but the last of the {count} GPUs here is 'cuda:{count - 1}'")
    return kind


def check_device(device: Any) -> str:
    """Do as `usable_device`, but without touching the driver; None is refused."""
    kind = _parts(device)[0]
    if kind == "gpu" and find_spec("cupy") is None:
        raise missing(f"device={str(device)!r}", "cupy")
    return kind


def device_number(device: Any) -> int | None:
    """Return which GPU `device` names, counted from 0; None if it names none.

    Args:
        device: as in `usable_device`.

    Raises:
        TypeError, ValueError: `device` is not a device.

    Examples:
        >>> device_number("cuda:1"), device_number("cuda")
        (1, None)
    """
    return None if device is None else _parts(device)[1]


def _parts(device: Any) -> tuple[str, int | None]:
    """Return the kind of device, and which GPU."""
    of_a_library = type(device).__name__.lower() == "device"  # torch's and DALI's are written as their names
    found = DEVICE.fullmatch(str(device)) if of_a_library or isinstance(device, str) else None
    if found is None:
        kind = ValueError if isinstance(device, str) else TypeError
        raise kind(f"device must be 'cpu' or 'gpu', got {device!r}; 'cuda:1' or a torch.device will do, too")
    if found["cpu"]:
        return "cpu", None
    return "gpu", int(found["number"]) if found["number"] else None


def default_id(device: str) -> int | None:
    """Return the `device_id` of a pipeline: the first GPU, or none."""
    return 0 if device == "gpu" else None


def default_threads() -> int:
    """Return the number of DALI's threads on the CPU: cores per process that torchrun started here, 8 at most.

    Raises:
        ValueError: ``LOCAL_WORLD_SIZE`` is not a number.
    """
    cores = len(os.sched_getaffinity(0)) // (number_in_environment("LOCAL_WORLD_SIZE", lowest=1) or 1)
    return min(max(cores, 1), 8)


def local_id(device_id: int | None) -> int:
    """Return `device_id`; for None the GPU of this process among those of torchrun, else torch's current one.

    Raises:
        ValueError: `device_id` is not a whole number from 0; ``LOCAL_RANK`` is not a number, or there are fewer GPUs.
    """
    if device_id is not None:
        checks.numbers(device_id=device_id)
        return int(device_id)
    rank, count = number_in_environment("LOCAL_RANK", lowest=-1), _device_count()  # -1: not launched, says PyTorch
    if rank is None or rank < 0:
        import torch

        return int(torch.cuda.current_device())
    if rank >= count > 1:
        raise ValueError(f"LOCAL_RANK is {rank}, but there are {count} GPUs here: start one process for each")
    return min(rank, count - 1)  # some launchers let each see only its own


def number_in_environment(name: str, lowest: int = 0) -> int | None:
    """Return the number in the variable `name`, as set by a launcher such as torchrun; None if it is unset or empty.

    Raises:
        ValueError: it is not a whole number from `lowest`.
    """
    said = os.environ.get(name, "").strip()
    if not said:
        return None
    if not re.fullmatch("-?[0-9]{1,18}", said) or int(said) < lowest:
        raise ValueError(f"the variable {name} must be a whole number from {lowest}, got {said!r}: unset or correct it")
    return int(said)


def device_name(device: str) -> str:
    """Return a readable name: that of the GPU, or the CPU."""
    if device == "cpu":
        return "CPU (no GPU used)"
    import cupy

    name = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.runtime.getDevice())["name"]
    return str(name, "utf-8")


def _device_count() -> int:
    """Return how many GPUs CuPy can use. If the driver has some and CuPy fails, its error is raised, not hidden."""
    if not _devices_of_the_driver():
        return 0
    check_device("gpu")
    import cupy

    return int(cupy.cuda.runtime.getDeviceCount())


def _devices_of_the_driver() -> int:
    """Return how many GPUs the driver has, without CuPy; 0 where there is no driver.

    Raises:
        RuntimeError: this process was forked from one that uses CUDA, so nobody can tell.
    """
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    failed = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
    if failed == NOT_INITIALIZED:  # by cuInit itself
        raise RuntimeError(
            "no CUDA device works in a process that was forked from one that uses CUDA: start it by spawn"
        )
    return 0 if failed else count.value


def torch_device(device: str) -> str:
    """Return what torch calls ``"cpu"`` or ``"gpu"``.

    Raises:
        ValueError: ``"gpu"`` where torch sees none.
    """
    import torch

    if device == "gpu" and not torch.cuda.is_available():
        raise ValueError("device='gpu', but there is no CUDA device that torch can use")
    return DEVICES[device]
