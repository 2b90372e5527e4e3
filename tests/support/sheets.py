"""A mixed batch for the sheets, and what is read from a PNG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import dalimix
from dali_ops.sheets.mixing_sheet import draw_sheet
from dali_ops.sheets.page import GIVER, rgb
from dali_ops.sheets.rows import SheetRow
from tests.support.data.at_random import random_images

CLASSES = ("astronaut", "cat", "coffee", "flower", "rocket", "temple")
SIZE = (60, 84)


def batch(method: dalimix.Method, size: int = 24, heatmaps: np.ndarray | None = None) -> dict[str, Any]:
    """A mixed batch as `rows_of_batch` takes it; image n has the label n % 6."""
    images, labels = random_images(size, *SIZE), np.arange(size) % len(CLASSES)
    plan = dalimix.plan(method, dalimix.draw(method, size, 0), SIZE, heatmaps)
    targets = dalimix.soft_labels(labels, plan, len(CLASSES))
    mixed = dalimix.compose(images, plan)
    return {"images": images, "mixed": mixed, "plan": plan, "targets": targets, "classes": CLASSES}


def draw(rows: list[SheetRow], out: Path) -> np.ndarray:
    """The pixels of their sheet, int [H, W, 3]."""
    draw_sheet(rows, out, "A title", "and more")
    return pixels_of(out)


def pixels_of(out: Path) -> np.ndarray:
    from PIL import Image

    with Image.open(out) as sheet:
        return np.asarray(sheet.convert("RGB")).astype(int)


def of_the_giver(pixels: np.ndarray) -> np.ndarray:
    """Bool [H, W]: where pixels have nearly the giver's colour, which a palette may change a little."""
    return np.abs(pixels - rgb(GIVER)).max(axis=-1) < 12


def places_of(picture: np.ndarray, sheet: np.ndarray) -> list[tuple[int, int]]:
    """Where a picture stands on a sheet pixel for pixel: from the top and from the left."""
    height, width = picture.shape[:2]
    starts = np.argwhere((sheet[: 1 - height, : 1 - width] == picture[0, 0]).all(axis=-1)).tolist()
    return [(y, x) for y, x in starts if np.array_equal(sheet[y : y + height, x : x + width], picture)]
