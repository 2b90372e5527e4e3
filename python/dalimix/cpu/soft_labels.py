"""The loops of kernels/soft_labels.cu for the CPU."""

from __future__ import annotations

import numpy as np

from dalimix.mix_plan import MixPlan


def soft_labels(labels: np.ndarray, plan: MixPlan, num_classes: int, smoothing: float) -> np.ndarray:
    """y = weight₀·onehot(labelᵢ) + weight₁·onehot(labelⱼ), smoothed; float32 [B, num_classes]."""
    own, other = plan.weight[:, :1], plan.weight[:, 1:]
    if labels.ndim == 1:
        labels = labels[:, None] == np.arange(num_classes)
    labels = labels.astype(np.float32, copy=False)
    y = own * labels + other * labels[plan.partner]
    smoothed: np.ndarray = np.float32(1 - smoothing) * y + np.float32(smoothing / num_classes) * (own + other)
    return smoothed


def pair_labels(labels: np.ndarray, plan: MixPlan) -> tuple[np.ndarray, ...]:
    """(labels, labels of the partners, weights), all new arrays."""
    return labels.copy(), labels[plan.partner], plan.weight.copy()
