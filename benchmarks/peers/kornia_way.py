"""Peers of `bench_peers.py`: Kornia's RandomCutMixV2 and RandomMixUpV2, as its documentation uses them.

Images are floats in [0, 1] there, and normalised after they are mixed. Partners are random; a box or λ is drawn for
every image, or with `same_on_batch` for the batch. Labels are (label, label of the partner, share): they are compared
with ours in pairs. The share is that of the image in a CutMix, but that of the partner in a MixUp.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from benchmarks.peers.peer import Peer, Told, Way, row
from benchmarks.tensors import CLASSES, MEAN, SMOOTHING, STD
from dalimix import CutMix, Method


def peers(method: Method, dtype: torch.dtype) -> list[Peer]:
    from kornia.augmentation import RandomCutMixV2, RandomMixUpV2

    if method.per == "pair":
        return []
    shared = {"data_keys": ["input", "class"], "same_on_batch": method.per == "batch"}
    if isinstance(method, CutMix):
        mixed, dense = RandomCutMixV2(use_correct_lambda=True, **shared), cutmix_labels
    else:
        mixed, dense = RandomMixUpV2(**shared), mixup_labels
    return [Peer("Kornia", normalised(mixed, dtype), told=False, dense=dense)]


def normalised(mixed: Callable[..., Any], dtype: torch.dtype) -> Way:
    from kornia.enhance import normalize

    scaling = [tuple(value / 255 for value in values) for values in (MEAN, STD)]

    def mix(images: Tensor, labels: Tensor, _: Told) -> tuple[Tensor, Tensor]:
        planes = images.permute(0, 3, 1, 2).to(dtype, memory_format=torch.contiguous_format).div_(255)
        pixels, targets = mixed(planes, labels)
        return normalize(pixels, *(row(values, dtype, images.device).flatten() for values in scaling)), targets

    return mix


def cutmix_labels(targets: Tensor) -> Tensor:
    """Of [1, B, 3]; the first axis counts how often a batch is mixed."""
    own, other, share = targets[0].double().unbind(1)
    return soft(own, other, share)


def mixup_labels(targets: Tensor) -> Tensor:
    own, other, share = targets.double().unbind(1)
    return soft(own, other, 1 - share)


def soft(own: Tensor, other: Tensor, share: Tensor) -> Tensor:
    first, second = (one_hot(labels.long(), CLASSES) for labels in (own, other))
    mixed = share[:, None] * first + (1 - share)[:, None] * second
    return (1 - SMOOTHING) * mixed + SMOOTHING / CLASSES
