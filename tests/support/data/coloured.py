"""Image folders of three colours, which name the classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

image = pytest.importorskip("PIL.Image")

COLOURS = {"blue": (40, 60, 200), "green": (50, 190, 60), "red": (210, 50, 40)}
CLASSES = {"blue": (20, 40, 220), "green": (30, 200, 40), "red": (220, 30, 30)}
PER_CLASS = 5
COUNT = len(CLASSES) * PER_CLASS


def coloured_folder(root: Path) -> Path:
    """Of which anything learns the classes at once: eight noisy images of each colour."""
    rng = np.random.default_rng(0)
    for name, colour in COLOURS.items():
        (root / name).mkdir(parents=True)
        for k in range(8):
            pixels = np.clip(rng.normal(colour, 40, (48, 48, 3)), 0, 255).astype(np.uint8)
            image.fromarray(pixels).save(root / name / f"{k}.png")
    return root


@pytest.fixture(scope="module")
def noisy_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return coloured_folder(tmp_path_factory.mktemp("coloured") / "images")


def one_coloured_folder(root: Path) -> Path:
    """Fifteen JPEGs of one colour each, of different sizes."""
    for name, colour in CLASSES.items():
        (root / name).mkdir()
        for k in range(PER_CLASS):
            image.new("RGB", (60 + k, 50 + 2 * k), colour).save(root / name / f"{k}.jpg", quality=95)
    return root
