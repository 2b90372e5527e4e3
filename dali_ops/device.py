"""Where pipelines run."""

from __future__ import annotations

from importlib.util import find_spec


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
    if device not in ("cpu", "gpu"):
        raise ValueError(f"device must be 'cpu' or 'gpu', got {device!r}")
    if device == "gpu" and find_spec("cupy") is None:
        raise ModuleNotFoundError("device='gpu' needs CuPy: pip install 'dalimix[cuda13]' (or cuda12)")


def device_name(device: str) -> str:
    """What a person calls it: the name of the GPU, or the CPU."""
    if device == "cpu":
        return "CPU (NumPy twin, no GPU used)"
    import cupy

    name = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.runtime.getDevice())["name"]
    return name.decode()


def _device_count() -> int:
    try:
        import cupy

        return int(cupy.cuda.runtime.getDeviceCount())
    except Exception:  # CuPy missing, no driver, or one that is too old: all mean that there is no GPU to use
        return 0
