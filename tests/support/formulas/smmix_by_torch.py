"""One step of SMMix for `vits.Small` in plain torch, as in the paper: image i and image B − 1 − i, one side a batch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, fold, kl_div, one_hot, unfold


def step(model: nn.Module, images: Tensor, labels: Tensor, side: int, classes: int, smoothing: float = 0.0) -> Any:
    """The loss, the mixed images and the mask [B, g, g], 1 where image B − 1 − i shows."""
    with torch.no_grad():
        attention, predictions = attention_and_logits(model, images)
    target, source = regions(attention, side)
    mask = placed(torch.ones(len(images), side**2, 1), target, attention.shape[1], side, 1)
    mixed = pasted(images, target, source, attention.shape[1], side)
    share = side**2 / attention.shape[1] ** 2
    return loss(model, mixed, mask.flatten(1), labels, predictions, share, classes, smoothing), mixed, mask[:, 0]


def attention_and_logits(model: nn.Module, images: Tensor) -> Any:
    """The last block's attention, [B, g, g], and the logits, in eval mode."""
    training = model.training
    model.eval()
    x = model.patches(images).flatten(2).transpose(1, 2) + model.places
    for layer in model.layers.layers[:-1]:
        x = layer(x)
    last = model.layers.layers[-1]
    query = last.norm1(x)
    weights = last.self_attn(query, query, query, need_weights=True, average_attn_weights=False)[1]
    logits = model(images)
    model.train(training)
    grid = int(x.shape[1] ** 0.5)
    return weights.mean(1).mean(1).reshape(-1, grid, grid), logits


def regions(attention: Any, side: int) -> Any:
    """For each image the window where it is looked at least, and its partner's where that is looked at most."""
    sums = unfold(attention[:, None], side).sum(1)
    return sums.argmin(1), sums.argmax(1).flip(0)


def placed(window: Any, where: Any, grid: Any, side: int, cell: Any) -> Any:
    """Zeros [B, channels, H, W] but for `window`, [B, channels · (side·cell)², 1], at the place `where`."""
    places = one_hot(where, (grid - side + 1) ** 2).to(window.dtype)[:, None]
    return fold(window * places, grid * cell, side * cell, stride=cell)


def pasted(images: Tensor, target: Any, source: Any, grid: Any, side: int) -> Any:
    cell = images.shape[-1] // grid
    windows = unfold(images.flip(0), side * cell, stride=cell)
    chosen = windows[torch.arange(len(images)), :, source][:, :, None]
    hidden = placed(torch.ones_like(chosen), target, grid, side, cell)
    return images * (1 - hidden) + placed(chosen, target, grid, side, cell)


def loss(
    model: nn.Module,
    mixed: Any,
    mask: Tensor,
    labels: Tensor,
    predictions: Any,
    share: Any,
    classes: int,
    smoothing: Any,
) -> Any:
    tokens = model.tokens(mixed)
    logits = model.head(tokens.mean(1))
    hard = one_hot(labels, classes).float()
    targets = (1 - smoothing) * ((1 - share) * hard + share * hard.flip(0)) + smoothing / classes
    source_tokens = (tokens * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)
    target_tokens = (tokens * (1 - mask)[:, :, None]).sum(1) / (1 - mask).sum(1, keepdim=True)
    of_target = cross_entropy(model.head(target_tokens), labels, label_smoothing=smoothing)
    of_source = cross_entropy(model.head(source_tokens), labels.flip(0), label_smoothing=smoothing)
    teacher = ((1 - share) * predictions + share * predictions.flip(0)).softmax(1)
    consistency = kl_div(logits.log_softmax(1), teacher, reduction="batchmean")
    return cross_entropy(logits, targets) + (of_target + of_source) / 2 + consistency
