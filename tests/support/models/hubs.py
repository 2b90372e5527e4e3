"""Models that stand in for those that torchvision and timm would download: of the same names and modules, tiny."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from tests.support.models.vits import DIM, Block, Qkv, Timm


class ResNet50(nn.Sequential):
    """What heatmaps of one need: the last features, 7 × 7 of an image of 224 × 224, and the classifier."""

    def __init__(self, weights: str) -> None:
        super().__init__()
        self.layer4 = nn.Sequential(nn.Conv2d(3, 8, 32, 32), nn.ReLU())
        self.avgpool, self.flatten, self.fc = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 1000)


class DeitSmall(Timm):
    """Twelve blocks, of which the last two do something, on 14 × 14 tokens of an image of 224 × 224."""

    def __init__(self, name: str, classes: int) -> None:
        assert name == "deit_small_patch16_224"
        super().__init__(classes=classes)
        self.patch_embed = nn.Conv2d(3, DIM, 16, 16)
        self.pos_embed = nn.Parameter(torch.randn(1, 14 * 14, DIM))
        self.blocks = nn.Sequential(*[nn.Identity()] * 10, Block(Qkv()), Block(Qkv()))


def stand_ins(classes: int) -> dict[str, Any]:
    """Modules by the names of the packages that they stand in for."""

    def create_model(name: str) -> nn.Module:
        return DeitSmall(name, classes)

    models = SimpleNamespace(resnet50=ResNet50)
    return {"torchvision": SimpleNamespace(models=models), "timm": SimpleNamespace(create_model=create_model)}
