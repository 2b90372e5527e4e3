"""Where a benchmark ran, and the file in which its results are kept."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from dali_ops.device import device_name
from dalimix.support.paths import errors_name

CUDA13 = ("nvidia-dali-cuda130", "cupy-cuda13x", "nvidia-cuda-nvrtc")
CUDA12 = ("nvidia-dali-cuda120", "cupy-cuda12x", "nvidia-cuda-nvrtc-cu12")
PEERS = ("kornia", "timm", "torchvision")
PACKAGES = ("dalimix", "numpy", "numba", "torch", *PEERS, *CUDA13, *CUDA12)  # noted, where installed


def environment_of(device: str) -> dict[str, Any]:
    """Date, versions, the processor or GPU, and how many cores this process may use.

    Args:
        device: ``"cpu"`` or ``"gpu"``.
    """
    packages = {name: _version(name) for name in PACKAGES}
    found = {"date": date.today().isoformat(), "python": platform.python_version(), "device": hardware(device)}
    found |= {"cores": len(os.sched_getaffinity(0))} | (_driver() if device == "gpu" else {})
    return found | {name: number for name, number in packages.items() if number}


def write_results(
    path: Path, found: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], left_out: Sequence[str]
) -> None:
    """Write a JSON file.

    Args:
        path: the file; its folder is made, too.
        found: where it ran, as `environment_of` says it.
        rows: a flat mapping for each row of the table.
        left_out: sentences that say what was not measured.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    results = {"environment": dict(found), "rows": list(rows), "left out": list(left_out)}
    with errors_name(path):
        path.write_text(json.dumps(results, indent=1) + "\n")


def hardware(device: str) -> str:
    """The name of the processor or of the GPU."""
    if device == "gpu":
        return device_name(device)
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), platform.machine())


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _driver() -> dict[str, Any]:
    """Its version, and the CUDA that runs: 13000 is 13.0."""
    import cupy

    asked = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    driver = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()[0]
    return {"driver": driver, "CUDA at run time": cupy.cuda.runtime.runtimeGetVersion()}
