"""An image folder of which anything learns the classes at once: eight noisy images of each of three colours."""

import numpy as np
import pytest

image = pytest.importorskip("PIL.Image")

COLOURS = {"blue": (40, 60, 200), "green": (50, 190, 60), "red": (210, 50, 40)}


def coloured_folder(root):
    rng = np.random.default_rng(0)
    for name, colour in COLOURS.items():
        (root / name).mkdir(parents=True)
        for k in range(8):
            pixels = np.clip(rng.normal(colour, 40, (48, 48, 3)), 0, 255).astype(np.uint8)
            image.fromarray(pixels).save(root / name / f"{k}.png")
    return root
