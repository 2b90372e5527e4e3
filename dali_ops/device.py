"""Where pipelines run."""

from __future__ import annotations


def default_device() -> str:
    """``"gpu"`` if CuPy finds one, else ``"cpu"``."""
    return "gpu" if _device_count() else "cpu"


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
