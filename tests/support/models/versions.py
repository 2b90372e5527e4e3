"""A model that tells which version of its weights it ran by, and a snapshot of it."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor, nn

from dalimix.heatmaps import FeatureHeatmap, SnapshotHeatmap
from tests.support.models.vits import SIDE

IMAGES = torch.rand(4, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) * 255
PARTS, LARGE = 4, 1 << 18


class Versions(nn.Module):
    """All its weights are the version of the model. It reads them one by one, slowly, and tells the extremes."""

    def __init__(self, pause: float = 0.001) -> None:
        super().__init__()
        self.parts = nn.ParameterList(nn.Parameter(torch.zeros(LARGE)) for _ in range(PARTS))
        self.register_buffer("unsaved", torch.zeros(LARGE), persistent=False)
        self.look, self.pause = nn.Identity(), pause

    def forward(self, images: Tensor) -> Tensor:
        told = []
        for part in (*self.parts, self.unsaved):
            told += [part.min(), part.max()]
            self.wait(part)
        self.look(torch.stack(told[:4]).reshape(1, 1, 2, 2).expand(len(images), 1, 2, 2))
        return torch.stack(told).expand(len(images), -1)

    def wait(self, part: Tensor) -> None:
        """On a GPU its stream, for about as long, and not the host."""
        if part.is_cuda:
            torch.cuda._sleep(int(self.pause * 1e9))
        else:
            time.sleep(self.pause)

    @torch.no_grad()
    def train_to(self, version: int) -> None:
        for part in (*self.parts, self.unsaved):
            part.fill_(version)


def a_snapshot(model: nn.Module | None = None, **options: Any) -> SnapshotHeatmap:
    return SnapshotHeatmap(FeatureHeatmap(model or Versions(pause=0), "look"), **options)


def version(snapshot: Any) -> float:
    """The one that all weights of its model have."""
    heatmaps, output = snapshot.observe(IMAGES)
    (told,) = {*heatmaps.unique().tolist(), *output.unique().tolist()}
    return told
