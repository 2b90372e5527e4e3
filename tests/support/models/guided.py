"""A small model, its heatmaps, and a pipeline that mixes by them."""

from __future__ import annotations

from typing import Any

import torch
from nvidia.dali import fn
from torch import nn

import dali_ops
from dali_ops.operators import bridge
from dalimix import AttentiveCutMix, Method
from dalimix.heatmaps import FeatureHeatmap
from tests.support.pipelines import BATCH, images_and_labels


def a_model(device: str = "cpu") -> nn.Module:
    """Two strided convolutions and a normalisation that has a mode: 32 × 48 pixels become 8 × 12 cells."""
    torch.manual_seed(0)
    layers = [torch.nn.Conv2d(3, 8, 3, 2, 1), torch.nn.BatchNorm2d(8), torch.nn.ReLU(), torch.nn.Conv2d(8, 4, 3, 2, 1)]
    head = [torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(4, BATCH)]
    return torch.nn.Sequential(*layers, *head).to({"cpu": "cpu", "gpu": "cuda"}[device])


def a_provider(device: str = "cpu", **options: Any) -> FeatureHeatmap:
    return FeatureHeatmap(a_model(device), "3", mean=120.0, std=60.0, **options)


def guided(
    provider: Any, method: Method | None = None, device: str = "cpu", mirrored: bool = True, **options: Any
) -> Any:
    """A body: heatmaps of a model, a mix by them; with the heatmaps, the plan and the mirror."""

    def body() -> Any:
        images, labels = images_and_labels()
        mirror = fn.random.coin_flip() if mirrored else fn.constant(idata=0)
        heatmaps = dali_ops.model_heatmaps(images, provider, device=device)
        options.update(num_classes=BATCH, heatmaps=heatmaps, mirror=mirror, return_plan=True, device=device)
        mixed, targets, plan = dali_ops.mix(images, labels, method or AttentiveCutMix((3, 9), grid=4), **options)
        return (mixed, targets, heatmaps, bridge.moved(mirror, device), *plan.arrays())

    return body
