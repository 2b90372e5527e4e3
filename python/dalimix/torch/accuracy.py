"""Accuracy where targets are mixed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias, overload

import torch
from torch import Tensor

from dalimix.heatmaps.arguments import described
from dalimix.heatmaps.tensors import is_floating, is_integer, same_device, without_gradients
from dalimix.support.numbers import is_whole
from dalimix.torch.class_indices import are_classes

Targets: TypeAlias = Tensor | Sequence[Tensor]


@overload
def soft_target_accuracy(outputs: Tensor, targets: Targets, topk: int = 1) -> Tensor: ...
@overload
def soft_target_accuracy(outputs: Tensor, targets: Targets, topk: Sequence[int]) -> tuple[Tensor, ...]: ...
@without_gradients
def soft_target_accuracy(
    outputs: Tensor, targets: Targets, topk: int | Sequence[int] = 1
) -> Tensor | tuple[Tensor, ...]:
    """Return how much of its target each image has on its highest logits, as the mean over the batch.

    With λ and 1 − λ as the weights of the two labels, that is λ·accuracy(own labels) + (1 − λ)·accuracy(partners'
    labels) of each image, as in the code of mixup (arXiv 1710.09412) and CutMix (arXiv 1905.04899); for class indices
    it is the usual accuracy. Label smoothing s makes it (1 − s)·accuracy + s·k / C: with C = 1000 and s = 0.1, an
    unmixed image counts 0.9001 if it is right and 0.0001 if not. Targets that do not add up to 1, such as TokenMix's
    with heatmaps, count as they are.

    Args:
        outputs: the model's logits, or anything that orders the classes alike; floating [B, C].
        targets: one of

            * floating [B, C], as from the dense form;
            * ``(labels, labels of the partners, weights)``, as from the pair form: each label tensor is one of the
            other
              two kinds, and the weights are floating [B, 2];
            * class indices, integer [B].
        topk: how many of the highest logits count, from 1 to C; or several such numbers. Among equal logits,
            ``torch.topk`` decides which are highest; a NaN is higher than any number.

    Returns:
        A float32 scalar on the device of `outputs`, without a gradient, and NaN for a batch without images; for several
        `topk` a tuple of them. The host does not wait for the device.

    Raises:
        TypeError, ValueError: an argument is not as described. On a GPU, which the host does not wait for, a class
            index outside 0 .. C − 1 makes the accuracy NaN, and a later call raises the error.

    Examples:
        >>> logits = torch.tensor([[3.0, 1.0, 0.0], [0.0, 2.0, 1.0]])
        >>> targets = torch.tensor([[0.7, 0.3, 0.0], [0.0, 0.0, 1.0]])
        >>> soft_target_accuracy(logits, targets)
        tensor(0.3500)
        >>> soft_target_accuracy(logits, torch.tensor([0, 2]), topk=(1, 2))
        (tensor(0.5000), tensor(1.))
    """
    if not is_floating(outputs):
        raise TypeError(f"outputs must be floating [B, classes], got {described(outputs)}")
    if outputs.ndim != 2 or outputs.shape[1] == 0:
        raise ValueError(f"outputs must be [B, classes], got {described(outputs)}")
    counts = _counts(topk, outputs.shape[1])
    labels, weights = _labels_and_weights(targets, outputs)
    highest = outputs.topk(max(counts), dim=1).indices
    accuracies = tuple(_on_highest(highest[:, :count], labels, weights).mean() for count in counts)
    return accuracies if isinstance(topk, Sequence) else accuracies[0]


def _on_highest(highest: Tensor, labels: list[Tensor], weights: Tensor | None) -> Tensor:
    """Float32 [B]: the share of each target on these classes, int64 [B, k]."""
    parts = torch.stack([_part(highest, label) for label in labels], 1)
    return (parts if weights is None else parts * weights.float()).sum(1)


def _part(highest: Tensor, label: Tensor) -> Tensor:
    if label.is_floating_point():
        return label.gather(1, highest).float().sum(1)
    hit = (highest == label[:, None]).any(1).float()
    return hit.where(label >= 0, float("nan"))


def _labels_and_weights(targets: Any, outputs: Tensor) -> tuple[list[Tensor], Tensor | None]:
    """One tensor of labels, or two with floating weights [B, 2]."""
    if isinstance(targets, Tensor):
        return [_checked("targets", targets, outputs)], None
    if not isinstance(targets, Sequence) or len(targets) != 3:
        got = f"{len(targets)} of them" if isinstance(targets, Sequence) else type(targets).__name__
        raise TypeError(f"targets must be a tensor, or (labels, labels of the partners, weights), got {got}")
    own, partners, weights = targets
    if not is_floating(weights) or weights.shape != (len(outputs), 2):
        raise ValueError(f"the weights of targets must be floating [{len(outputs)}, 2], got {described(weights)}")
    same_device("the weights of targets", weights, "outputs", outputs)
    names = {"the labels of targets": own, "the partners' labels of targets": partners}
    return [_checked(name, label, outputs) for name, label in names.items()], weights


def _checked(name: str, label: Any, outputs: Tensor) -> Tensor:
    """Floating [B, C], or int64 [B] in which indices outside 0 .. C − 1 are −1, on the device of the outputs."""
    size, classes = outputs.shape
    dense = is_floating(label)
    if not (dense or is_integer(label)) or label.shape != ((size, classes) if dense else (size,)):
        raise ValueError(f"{name} must be floating [{size}, {classes}] or integer [{size}], got {described(label)}")
    same_device(name, label, "outputs", outputs)
    return label if dense else _of_classes(label.long(), classes)


def _of_classes(label: Tensor, classes: int) -> Tensor:
    return label.where(are_classes(label, classes), -1)


def _counts(topk: int | Sequence[int], classes: int) -> list[int]:
    counts = list(topk) if isinstance(topk, Sequence) else [topk]
    if not counts:
        raise ValueError("topk must be a number of classes, or several, got none")
    for count in counts:
        if not is_whole(count):
            raise TypeError(f"topk must be whole numbers from 1 to {classes}, got {count!r}")
        if not 1 <= count <= classes:
            raise ValueError(f"topk must be from 1 to {classes}, the number of classes, got {count}")
    return counts
