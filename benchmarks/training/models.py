"""The models that `bench_train.py` trains: timm's, or what stands in for them."""

from __future__ import annotations

from typing import NamedTuple

from torch import nn

from examples.small_resnet import SmallResNet
from examples.small_vit import SmallViT


class Made(NamedTuple):
    """A model, and whose it is."""

    model: nn.Module
    origin: str


def resnet50(classes: int, size: int) -> Made:
    try:
        import timm
    except ImportError:
        return _resnet50_of_torchvision(classes)
    return Made(timm.create_model("resnet50", num_classes=classes), "timm")


def _resnet50_of_torchvision(classes: int) -> Made:
    try:
        from torchvision import models
    except (ImportError, RuntimeError) as error:  # RuntimeError: one that was built for another torch
        raise ModuleNotFoundError(f"neither timm nor torchvision can be imported ({error})") from error
    return Made(models.resnet50(num_classes=classes), "torchvision")


def vit_small(classes: int, size: int) -> Made:
    """Without timm, the examples' transformer with the width, depth and heads of ViT-S, so about the same work."""
    try:
        import timm
    except ImportError:
        return Made(SmallViT(classes, size, width=384, depth=12, heads=6), "examples/small_vit.py")
    return Made(timm.create_model("vit_small_patch16_224", num_classes=classes, img_size=size), "timm")


def small_resnet(classes: int, size: int) -> Made:
    return Made(SmallResNet(classes), "examples/small_resnet.py")


def small_vit(classes: int, size: int) -> Made:
    return Made(SmallViT(classes, size), "examples/small_vit.py")


MODELS = {make.__name__: make for make in (resnet50, vit_small, small_resnet, small_vit)}
DEFAULT = {"cpu": ["small_resnet", "small_vit"], "gpu": ["resnet50", "vit_small"]}
