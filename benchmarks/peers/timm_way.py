"""Peers of `bench_peers.py`: timm's Mixup; where timm is not installed, what it does, written anew in torch.

Random numbers are those of a batch, of a pair (image i and image B − 1 − i) or of an element: timm's modes "batch",
"pair" and "elem". timm draws boxes and λ on the host, where its way is told them. What is blended is normalised first,
as timm's loader does it. A box for the whole batch is pasted before, since bytes are the cheaper ones to move; with
several boxes timm makes its shares in the type of the images, so they must be floats by then.
"""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.peers.peer import Peer, Told, Way, normalise
from benchmarks.tensors import CLASSES, SMOOTHING
from dalimix import CutMix, Method

MODES = {"batch": "batch", "pair": "pair", "sample": "elem"}


def installed() -> bool:
    try:
        import timm.data  # noqa: F401
    except ImportError:
        return False
    return True


def peers(method: Method, dtype: torch.dtype) -> list[Peer]:
    if installed():
        return [Peer("timm's Mixup", timms_own(method, dtype), told=False)]
    return [Peer("timm's way", written_anew(method, dtype), told=True)]


def pastes_bytes(method: Method) -> bool:
    return isinstance(method, CutMix) and method.per == "batch"


def timms_own(method: Method, dtype: torch.dtype) -> Way:
    from timm.data import Mixup

    pastes = isinstance(method, CutMix)
    alphas = {"mixup_alpha": 0.0 if pastes else method.beta, "cutmix_alpha": method.beta if pastes else 0.0}
    mixup = Mixup(**alphas, mode=MODES[method.per], label_smoothing=SMOOTHING, num_classes=CLASSES)

    def mix(images: Tensor, labels: Tensor, _: Told) -> tuple[Tensor, Tensor]:
        planes = images.permute(0, 3, 1, 2)
        if not pastes_bytes(method):
            pixels, targets = mixup(normalise(planes, dtype), labels)
            return pixels, targets
        pasted, targets = mixup(planes.clone(), labels)
        return normalise(pasted, dtype), targets

    return mix


def written_anew(method: Method, dtype: torch.dtype) -> Way:
    mixed = mixed_at_once if method.per == "batch" else mixed_in_a_loop

    def mix(images: Tensor, labels: Tensor, plan: Told) -> tuple[Tensor, Tensor]:
        planes = images.permute(0, 3, 1, 2)
        if pastes_bytes(method):
            return normalise(mixed(planes.clone(), plan), dtype), soft(labels, plan)
        return mixed(normalise(planes, dtype), plan), soft(labels, plan)

    return mix


def mixed_at_once(batch: Tensor, plan: Told) -> Tensor:
    """One box or one λ for all, in place; image i is mixed with image B − 1 − i."""
    _, (lam, *_), (box, *_) = plan.lists
    if lam != 1:
        flipped = batch.flip(0).mul_(1 - lam)
        return batch.mul_(lam).add_(flipped)
    top, left, bottom, right = box
    batch[:, :, top:bottom, left:right] = batch.flip(0)[:, :, top:bottom, left:right]
    return batch


def mixed_in_a_loop(batch: Tensor, plan: Told) -> Tensor:
    """A box or λ for every image, in place."""
    source = batch.clone()
    for i, (j, lam, box) in enumerate(zip(*plan.lists, strict=True)):
        if lam != 1:
            batch[i] = source[i] * lam + source[j] * (1 - lam)
        else:
            top, left, bottom, right = box
            batch[i, :, top:bottom, left:right] = source[j, :, top:bottom, left:right]
    return batch


def soft(labels: Tensor, plan: Told) -> Tensor:
    """Smoothed one-hot labels of the batch and of the partners, by their shares."""
    off = SMOOTHING / CLASSES
    own = torch.full((len(labels), CLASSES), off, device=labels.device)
    own.scatter_(1, labels[:, None], 1 - SMOOTHING + off)
    return own * plan.weight[:, :1] + own[plan.partner] * plan.weight[:, 1:]
