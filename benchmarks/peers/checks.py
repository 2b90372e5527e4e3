"""What `bench_peers.py` checks before it times: every peer makes the images and labels that ours makes.

A peer that draws its own random numbers is asked twice with the same seed. First it gets images painted with their
numbers, and what comes out tells which boxes it drew; λ and partners are read off its labels. That makes a plan, and
with it ours has to make of real images what the peer makes of them.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from torch import Tensor

import dalimix
from benchmarks.peers.peer import Peer, Told
from benchmarks.tensors import CLASSES, MEAN, SMOOTHING, STD, on_host
from dalimix import CutMix, Method, MixPlan

MOST = 256  # images for peers that are not told: as many as there are numbers of one byte
TOLERANCE = 0.03  # of normalised pixels; float16 has steps of 0.002, and peers calculate in it


def check(peer: Peer, method: Method, images: Tensor, labels: Tensor, told: Told) -> None:
    """Of uint8 images [B, H, W, C], labels, and the plan that peers are told, of tensors."""
    if peer.told:
        pixels, targets = peer.mix(images, labels, told)
        plan = MixPlan(told.partner.int(), *told.arrays()[1:])
    else:
        images, labels = images[:MOST], torch.arange(min(len(images), MOST), device=images.device)
        plan = read_plan(peer, method, images, labels)
        pixels, targets = seeded(peer, images, labels)
    agree(peer, pixels, targets, images, labels, MixPlan(*map(on_host, plan.arrays())))


def agree(peer: Peer, pixels: Tensor, targets: Any, images: Tensor, labels: Tensor, plan: MixPlan) -> None:
    dtype = str(pixels.dtype).removeprefix("torch.")
    ours = dalimix.compose(on_host(images), plan, mean=MEAN, std=STD, dtype=dtype, output_layout="CHW")
    soft = dalimix.soft_labels(on_host(labels), plan, CLASSES, SMOOTHING)
    its = on_host(targets if peer.dense is None else peer.dense(targets))
    assert pixels.is_contiguous(), f"{peer.name}: images in another layout"
    assert ours.shape == tuple(pixels.shape), f"{peer.name}: images of another shape"
    assert np.allclose(on_host(pixels), ours, rtol=0, atol=TOLERANCE), f"{peer.name}: other images"
    assert np.allclose(its, soft, rtol=0, atol=2e-3), f"{peer.name}: other labels"


def seeded(peer: Peer, images: Tensor, labels: Tensor) -> tuple[Tensor, Any]:
    """With random numbers that are always the same, whosever they are."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    return peer.mix(images, labels, None)  # type: ignore[arg-type]  # it draws, and reads no plan


def read_plan(peer: Peer, method: Method, images: Tensor, labels: Tensor) -> MixPlan:
    """What it drew, as tensors; the label of image i is i."""
    numbers = labels.to(torch.uint8)[:, None, None, None].expand_as(images)
    pixels, targets = seeded(peer, numbers.contiguous(), labels)
    share, partner = read_labels(targets if peer.dense is None else peer.dense(targets))
    box, shift = torch.zeros(len(labels), 4, dtype=torch.int32), torch.zeros(len(labels), 2, dtype=torch.int32)
    blend = share
    if isinstance(method, CutMix):
        box, blend = read_boxes(pixels.cpu()), torch.ones_like(share)
        _, height, width, _ = images.shape
        share = 1 - (box[:, 2:] - box[:, :2]).prod(1) / (height * width)
    return MixPlan(partner.int(), torch.stack([share, 1 - share], 1), blend, box, shift, size=tuple(images.shape[1:3]))


def read_labels(targets: Tensor) -> tuple[Tensor, Tensor]:
    """Float32 [B], the share of each image; int64 [B], whose the rest is."""
    shares = ((targets.cpu().float() - SMOOTHING / CLASSES) / (1 - SMOOTHING))[:, : len(targets)]
    own = shares.diagonal().clone()
    rest, partner = shares.fill_diagonal_(0).max(1)
    alone = rest < 1e-3
    return own.clamp(0, 1), torch.where(alone, torch.arange(len(own)), partner)


def read_boxes(pixels: Tensor) -> Tensor:
    """Int32 [B, 4] of normalised images that were painted with their numbers: where another number is."""
    numbers = torch.arange(len(pixels))[:, None, None]
    foreign = (pixels[:, 0].float() * STD[0] + MEAN[0] - numbers).abs() > 0.5
    boxes = torch.zeros(len(pixels), 4, dtype=torch.int32)
    for box, image in zip(boxes, foreign, strict=True):
        rows, columns = (image.any(axis).nonzero() for axis in (1, 0))
        if len(rows):
            box[:] = torch.tensor([rows[0], columns[0], rows[-1] + 1, columns[-1] + 1])
            assert image[box[0] : box[2], box[1] : box[3]].all(), "what is pasted is no box"
    return boxes
