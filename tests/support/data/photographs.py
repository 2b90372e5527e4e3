"""Photographs as PNGs, so that every decoder gives the same pixels."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

image = pytest.importorskip("PIL.Image")

PHOTOGRAPHS = {
    "astronaut": ("skimage", "data/astronaut.png"),
    "coffee": ("skimage", "data/coffee.png"),
    "china": ("sklearn", "datasets/images/china.jpg"),
    "flower": ("sklearn", "datasets/images/flower.jpg"),
}


def photographs() -> dict[str, np.ndarray]:
    """Uint8 [H, W, 3] each; a portrait format is among them, and odd sides."""
    found = {}
    for name, (package, place) in PHOTOGRAPHS.items():
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            pytest.skip(f"{package} is not installed")
        found[name] = np.asarray(image.open(Path(spec.origin).parent / place).convert("RGB"))
    found["coffee"] = np.ascontiguousarray(found["coffee"][:, 100:433])  # 400 × 333
    return found


def photograph_folder(root: Path, pictures: dict[str, np.ndarray]) -> Path:
    """One class for each, in their order by name."""
    for name, pixels in pictures.items():
        (root / name).mkdir(parents=True)
        image.fromarray(pixels).save(root / name / "0.png", compress_level=1)
    return root
