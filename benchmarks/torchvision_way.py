"""Peers of `bench_peers.py`: torchvision's CutMix and MixUp, as its documentation uses them.

They have one box or one λ for a batch, and mix image i with image i − 1. Boxes are pasted into bytes; what is blended
must be floats before. Smoothing, which torchvision leaves to the loss, is added.
"""

from __future__ import annotations

import torch
from peer import Peer
from pixels import CLASSES, MEAN, SMOOTHING, STD
from torch import Tensor

from dalimix import CutMix, Method, MixPlan


def peers(method: Method, dtype: torch.dtype) -> list[Peer]:
    from torchvision.transforms import v2

    if method.per != "batch":
        return []
    pastes = isinstance(method, CutMix)
    mixed = (v2.CutMix if pastes else v2.MixUp)(alpha=method.beta, num_classes=CLASSES)
    shares = ([value / 255 for value in values] for values in (MEAN, STD))
    floats = v2.Compose([v2.ToDtype(dtype, scale=True), v2.Normalize(*shares)])

    def mix(images: Tensor, labels: Tensor, _: MixPlan) -> tuple[Tensor, Tensor]:
        planes = images.permute(0, 3, 1, 2).contiguous()
        if pastes:
            pasted, targets = mixed(planes, labels)
            return floats(pasted), smoothed(targets)
        blended, targets = mixed(floats(planes), labels)
        return blended, smoothed(targets)

    return [Peer("torchvision v2", mix, told=False)]


def smoothed(targets: Tensor) -> Tensor:
    return targets.mul_(1 - SMOOTHING).add_(SMOOTHING / CLASSES)
