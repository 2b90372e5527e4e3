"""Small models of torch alone, in training mode, with the same weights every time."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from tests.support.models.vits import Block, Qkv


def cnn() -> nn.Module:
    """Features after module "1", averaged and classified by "4"."""
    torch.manual_seed(0)
    nn = torch.nn
    parts = nn.Conv2d(3, 4, 3, stride=4, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)
    return nn.Sequential(*parts).train()


def transformer() -> nn.Module:
    torch.manual_seed(0)
    nn = torch.nn
    model = nn.Sequential(nn.Conv2d(3, 16, 8, stride=8), nn.Flatten(2), Transposed(), Block(Qkv()))
    return model.train()


class Transposed(torch.nn.Module):
    def forward(self, x: Any) -> torch.Tensor:
        return x.transpose(1, 2)
