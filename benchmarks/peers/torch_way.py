"""Peers of `bench_peers.py`, of torch alone: the whole batch at once as a plan says it, also compiled; and BatchMixer.

The first is as short as it can be said: a mask of what is pasted, `where`, and the arithmetic in float32. Compiled, it
is a few kernels that are made for this very shape, the hardest peer. BatchMixer is ours with all around it: it draws
the random numbers and moves them to the device, where "ours" gets them ready.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.peers.peer import Peer, Told, Way, row
from benchmarks.tensors import CLASSES, MEAN, SMOOTHING, STD
from dalimix import CutMix, Method


def whole_batch(method: Method, dtype: torch.dtype) -> list[Peer]:
    return [Peer("torch", followed(method, dtype, mixed), told=True)]


def compiled(method: Method, dtype: torch.dtype) -> list[Peer]:
    torch._dynamo.reset()  # of the shapes of all cases together it would keep too few
    function = torch.compile(mixed, fullgraph=True, dynamic=False)
    return [Peer("torch.compile", followed(method, dtype, function), told=True)]


def batch_mixer(method: Method, dtype: torch.dtype) -> list[Peer]:
    from dalimix.torch import BatchMixer

    options: dict[str, Any] = {"mean": MEAN, "std": STD, "dtype": dtype, "smoothing": SMOOTHING}
    mixer = BatchMixer(method, CLASSES, layout="HWC", output_layout="CHW", **options)
    return [Peer("BatchMixer", lambda images, labels, _: mixer(images, labels), told=False)]


def followed(method: Method, dtype: torch.dtype, function: Callable[..., tuple[Any, Any]]) -> Way:
    pastes = isinstance(method, CutMix)

    def mix(images: Tensor, labels: Tensor, plan: Told) -> tuple[Tensor, Tensor]:
        where = plan.box if pastes else plan.blend
        scaling = (row(values, torch.float32, images.device) for values in (MEAN, STD))
        return function(images, labels, plan.partner, plan.weight, where, *scaling, dtype)

    return mix


def mixed(
    images: Tensor,
    labels: Tensor,
    partner: Tensor,
    weight: Tensor,
    where: Tensor,
    mean: Tensor,
    std: Tensor,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor]:
    """`where` is box, [B, 4], of images that are pasted, or λ, [B]."""
    if where.ndim == 2:
        pixels = torch.where(inside(where, images)[..., None], images[partner], images)
    else:
        lam = where[:, None, None, None]
        pixels = images * lam + images[partner] * (1 - lam)
    planes = (pixels.permute(0, 3, 1, 2) - mean) / std
    own = (labels[:, None] == torch.arange(CLASSES, device=labels.device)).float()
    targets = (own * weight[:, :1] + own[partner] * weight[:, 1:]) * (1 - SMOOTHING) + SMOOTHING / CLASSES
    return planes.to(dtype).contiguous(), targets


def inside(box: Tensor, images: Tensor) -> Tensor:
    """Bool [B, H, W]."""
    _, height, width, _ = images.shape
    top, left, bottom, right = box.T[:, :, None]
    rows, columns = (torch.arange(n, device=box.device) for n in (height, width))
    return ((top <= rows) & (rows < bottom))[:, :, None] & ((left <= columns) & (columns < right))[:, None, :]
