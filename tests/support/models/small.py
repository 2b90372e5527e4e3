"""Small models of torch alone, in training mode, with the same weights every time."""

from __future__ import annotations

from typing import Any

import torch

from tests.support.models.vits import Block, Qkv


def cnn() -> Any:
    """Features after module "1", averaged and classified by "4"."""
    torch.manual_seed(0)
    nn = torch.nn
    parts = nn.Conv2d(3, 4, 3, stride=4, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)
    return nn.Sequential(*parts).train()


def transformer() -> Any:
    torch.manual_seed(0)
    nn = torch.nn
    model = nn.Sequential(nn.Conv2d(3, 16, 8, stride=8), nn.Flatten(2), Transposed(), Block(Qkv()))
    return model.train()


class Transposed(torch.nn.Module):
    def forward(self, x: Any) -> Any:
        return x.transpose(1, 2)
