"""Peers of `bench_peers.py`: torchvision's CutMix and MixUp, as its documentation uses them.

They have one box or one λ for a batch, and mix image i with image i − 1. Boxes are pasted into bytes; what is blended
must be floats before. Smoothing, which torchvision leaves to the loss, is added.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.peers.peer import Peer, Told, Way
from benchmarks.tensors import CLASSES, MEAN, SMOOTHING, STD
from dalimix import CutMix, Method


def peers(method: Method, dtype: torch.dtype) -> list[Peer]:
    from torchvision.transforms import v2

    shares = ([value / 255 for value in values] for values in (MEAN, STD))
    floats = v2.Compose([v2.ToDtype(dtype, scale=True), v2.Normalize(*shares)])
    pastes = isinstance(method, CutMix)
    mixed = (v2.CutMix if pastes else v2.MixUp)(alpha=method.beta, num_classes=CLASSES)
    way = pasting(mixed, floats) if pastes else blending(mixed, floats)
    return [Peer("torchvision v2", way, told=False)] if method.per == "batch" else []


def pasting(mixed: Callable[..., Any], floats: Callable[[Tensor], Tensor]) -> Way:
    def mix(images: Tensor, labels: Tensor, _: Told) -> tuple[Tensor, Tensor]:
        pasted, targets = mixed(images.permute(0, 3, 1, 2).contiguous(), labels)
        return floats(pasted), smoothed(targets)

    return mix


def blending(mixed: Callable[..., Any], floats: Callable[[Tensor], Tensor]) -> Way:
    def mix(images: Tensor, labels: Tensor, _: Told) -> tuple[Tensor, Tensor]:
        blended, targets = mixed(floats(images.permute(0, 3, 1, 2).contiguous()), labels)
        return blended, smoothed(targets)

    return mix


def smoothed(targets: Tensor) -> Tensor:
    return targets.mul_(1 - SMOOTHING).add_(SMOOTHING / CLASSES)
