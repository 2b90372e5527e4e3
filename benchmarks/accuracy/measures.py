"""How good a model is on images that it has not seen."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from benchmarks.accuracy.table import ACCURACY, CALIBRATION, LOSS

BINS = 15


def measures(model: nn.Module, images: Tensor, labels: Tensor) -> dict[str, float]:
    """Accuracy and calibration error as shares of 1, and the negative log-likelihood."""
    with torch.no_grad():
        logits = model.eval()(images)
    hits = (logits.argmax(1) == labels).double().mean().item()
    likely = logits.double().softmax(1)
    values = hits, calibration_error(likely, labels), cross_entropy(logits, labels).item()
    return {measure.name: value for measure, value in zip((ACCURACY, CALIBRATION, LOSS), values, strict=True)}


def calibration_error(likely: Tensor, labels: Tensor, bins: int = BINS) -> float:
    """Expected calibration error, Guo et al., arXiv 1706.04599: mean distance of confidence and accuracy.

    Args:
        likely: probabilities, floating [N, C].
        labels: int64 [N].
        bins: intervals of confidence, equally wide, closed at their upper ends; each counts by its images.
    """
    confidence, chosen = likely.max(1)
    gaps = (chosen == labels).to(confidence.dtype) - confidence
    edges = torch.linspace(0, 1, bins + 1, dtype=confidence.dtype)[1:-1]
    sums = torch.zeros(bins, dtype=confidence.dtype).index_add(0, torch.bucketize(confidence, edges), gaps)
    return float(sums.abs().sum()) / len(labels)
