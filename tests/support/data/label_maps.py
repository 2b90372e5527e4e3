"""TokenLabeling's files for the folder of noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from tests.support.data.noise_folder import COUNT, LABELS, NAMES


def save_label_maps(folder: Path) -> np.ndarray:
    """TokenLabeling's files for the images, where the class of each has the scores float32 [COUNT, 3, 3]."""
    scores = np.random.default_rng(1).random((COUNT, 3, 3)).astype(np.float32)
    for name, label, score in zip(NAMES, LABELS, scores, strict=True):
        file = (folder / name).with_suffix(".pt")
        file.parent.mkdir(parents=True, exist_ok=True)
        maps = torch.from_numpy(np.stack([1 - score, score, score / 2])), torch.full((3, 3, 3), 7.0)
        maps[1][1] = label
        torch.save(torch.stack(maps), file)
    return scores
