"""What a training minimises: without mixing, and with every method. All mixing is the library's.

The methods have the parameters of their papers, as the library has them; those that count cells of 14 × 14 or 7 × 7
have as large a share of the 8 × 8 cells here. Nothing was tuned.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from benchmarks.accuracy.data import CLASSES, Split
from benchmarks.accuracy.models import GRID, HEAD, Architecture
from benchmarks.accuracy.table import CONTROL, PLAIN
from dalimix import AttentiveCutMix, CutMix, Method, Mixup, RandomChoice, SMMix, TokenMix
from dalimix.torch import BatchMixer, SMMixLoss, SMMixStep, TokenClassifier

ATTENTIVE = AttentiveCutMix(top=8, grid=GRID)  # 6 of 7 × 7 are 12.2 %, 8 of 8 × 8 are 12.5 %
TOKENS = TokenMix(grid=GRID, min_tokens=5)  # 14 of 14 × 14 are 7.1 %, 5 of 8 × 8 are 7.8 %
REGION = SMMix(grid=GRID)
Loss = Callable[[Tensor], Tensor]  # of the images with these indices, of those to train on


@dataclass(frozen=True)
class Training:
    """What a loss may look at.

    Attributes:
        kind: of the model.
        model: in training.
        teacher: of the same kind, trained on the same images without mixing.
        split: the images.
        generator: of the random numbers of mixing, which nothing else draws from.
    """

    kind: Architecture
    model: nn.Module
    teacher: nn.Module | None
    split: Split
    generator: torch.Generator

    def batch(self, index: Tensor) -> tuple[Tensor, Tensor]:
        return self.split.images[index], self.split.labels[index]

    def taught(self) -> nn.Module:
        if self.teacher is None:
            raise ValueError("this method needs a teacher, which is to be trained before")
        return self.teacher


def plain(training: Training) -> Loss:
    def loss(index: Tensor) -> Tensor:
        images, labels = training.batch(index)
        return cross_entropy(training.model(images), labels)

    return loss


def mixed(training: Training, method: Method, heatmaps: Tensor | None = None) -> Loss:
    """`heatmaps` are of all images to train on."""
    mixer = BatchMixer(method, CLASSES, generator=training.generator)

    def loss(index: Tensor) -> Tensor:
        images, targets = mixer(*training.batch(index), None if heatmaps is None else heatmaps[index])
        return cross_entropy(training.model(images), targets)

    return loss


def attentive(training: Training) -> Loss:
    """The cells that the teacher looks at: a CNN's features, as in the paper, or a transformer's attention."""
    return mixed(training, ATTENTIVE, training.kind.looks(training.taught())(training.split.images))


def tokens(training: Training) -> Loss:
    """The teacher's activation of the images' own classes, as in the paper."""
    seen = training.kind.sees_class(training.taught())
    return mixed(training, TOKENS, seen(training.split.images, training.split.labels))


def self_motivated(training: Training) -> Loss:
    """By what the model itself looks at. With tokens, the whole loss of the paper; of a CNN, which has none, the
    classification alone."""
    step = SMMixStep(training.kind.looks(training.model), CLASSES, REGION, generator=training.generator)
    if not training.kind.has_tokens:
        return lambda index: _classification(training.model, step, training.batch(index))
    classifier, parts = TokenClassifier(training.model, training.kind.layer, HEAD), SMMixLoss()

    def loss(index: Tensor) -> Tensor:
        batch = step(*training.batch(index))
        return parts(classifier(batch.images, batch.plan.tokens), batch).total

    return loss


def _classification(model: nn.Module, step: SMMixStep, given: tuple[Tensor, Tensor]) -> Tensor:
    batch = step(*given)
    return cross_entropy(model(batch.images), batch.targets)


def exchanged(training: Training) -> Loss:
    """CutMix with a planted mistake, which must show: the shares of the two labels change places."""
    mixer = BatchMixer(CutMix(), generator=training.generator, form="pair")

    def loss(index: Tensor) -> Tensor:
        images, (labels, others, weight) = mixer(*training.batch(index))
        logits = training.model(images)
        both = [cross_entropy(logits, given, reduction="none") for given in (others, labels)]
        return (torch.stack(both, 1) * weight).sum(1).mean()

    return loss


WAYS: dict[str, Callable[[Training], Loss]] = {
    PLAIN: plain,
    "Mixup": lambda training: mixed(training, Mixup()),
    "CutMix": lambda training: mixed(training, CutMix()),
    "AttentiveCutMix": attentive,
    "TokenMix": tokens,
    "SMMix": self_motivated,
    "Mixup or CutMix": lambda training: mixed(training, RandomChoice([Mixup(), CutMix()])),
    CONTROL: exchanged,
}
