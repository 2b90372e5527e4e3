"""The loop of kernels/soft_labels.cu for the CPU."""

from __future__ import annotations

import numpy as np

from dalimix.cpu.compiled import inlined, without_gil
from dalimix.cpu.outputs import OUTPUTS
from dalimix.cpu.parts.turns import NO_SAMPLE, end, following
from dalimix.cpu.planner import ready
from dalimix.cpu.sharing import share
from dalimix.mix_plan import MixPlan


def soft_labels(labels: np.ndarray, plan: MixPlan, num_classes: int, smoothing: float) -> np.ndarray:
    """y = weight₀·onehot(labelᵢ) + weight₁·onehot(labelⱼ), smoothed; float32 [B, num_classes]."""
    output = OUTPUTS.empty((len(labels), num_classes), np.float32)
    numbers = np.float32(1 - smoothing), np.float32(smoothing / num_classes)
    loop = _soft_labels if labels.ndim == 1 else _mixed_labels
    labels = ready(labels.astype(np.int64 if labels.ndim == 1 else np.float32, copy=False))
    share(loop, output, labels, ready(plan.partner), ready(plan.weight), *numbers)
    return output


def pair_labels(labels: np.ndarray, plan: MixPlan) -> tuple[np.ndarray, ...]:
    """(labels, labels of the partners, weights), all new arrays."""
    return labels.copy(), labels[plan.partner], plan.weight.copy()


@without_gil
def _soft_labels(
    turns: np.ndarray,  # int64 [4]
    waits: bool,
    labels: np.ndarray,  # int64 [B] class indices
    partner: np.ndarray,  # int32 [B]
    weight: np.ndarray,  # float32 [B, 2]
    kept: float,  # 1 − smoothing
    spread: float,  # smoothing / classes
    output: np.ndarray,  # float32 [B, classes]
) -> None:
    i = following(turns, NO_SAMPLE)
    while i != NO_SAMPLE:
        own, other = weight[i, 0], weight[i, 1]
        label, of_partner, nothing = labels[i], labels[partner[i]], np.float32(0)
        everywhere = _smoothed(nothing, own, other, kept, spread)
        for c in range(output.shape[1]):
            output[i, c] = everywhere
        output[i, label] = _smoothed(own, own, other, kept, spread)
        output[i, of_partner] = _smoothed(own + other if label == of_partner else other, own, other, kept, spread)
        i = following(turns, i)
    end(turns, waits)


@without_gil
def _mixed_labels(
    turns: np.ndarray,  # int64 [4]
    waits: bool,
    labels: np.ndarray,  # float32 [B, classes], soft already
    partner: np.ndarray,
    weight: np.ndarray,
    kept: float,
    spread: float,
    output: np.ndarray,
) -> None:
    i = following(turns, NO_SAMPLE)
    while i != NO_SAMPLE:
        own, other = weight[i, 0], weight[i, 1]
        mine, of_partner, target = labels[i], labels[partner[i]], output[i]
        for c in range(len(target)):
            target[c] = _smoothed(own * mine[c] + other * of_partner[c], own, other, kept, spread)
        i = following(turns, i)
    end(turns, waits)


@inlined
def _smoothed(y: float, own: float, other: float, kept: float, spread: float) -> float:
    return kept * y + spread * (own + other)
