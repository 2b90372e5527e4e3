"""The loss of SMMix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, kl_div

from dalimix import checks
from dalimix.heatmaps.arguments import described
from dalimix.heatmaps.graphs import can_be_read
from dalimix.heatmaps.tensors import is_floating, is_integer, same_device
from dalimix.mix_plan import MixPlan
from dalimix.torch.class_indices import are_classes


@dataclass(frozen=True, eq=False)
class SMMixBatch:
    """A mixed batch, and what `SMMixLoss` needs to know about it. All tensors are on one device.

    `SMMixStep` makes it. You can also make it from the outputs of a pipeline with ``return_plan=True``, or of a loader
    with ``keep_info=True``: ``SMMixBatch(images, targets, **vars(loader.batch_info))``.

    Attributes:
        images: mixed, [B, channels, H, W].
        targets: floating [B, C], the mixed labels, already smoothed if they are to be.
        labels: of the unmixed images, integer [B] or [B, 1], or floating [B, C].
        plan: a `dalimix.MixPlan` of tensors; `partner`, `weight` and `tokens` are read. All partners must be in the
            batch, so it cannot be a last batch that was cut (use ``drop_last=True``).
        predictions: floating [B, C], the model's logits of the unmixed images; None: no consistency loss.
        index: of a loader's batch, which images these are, by their positions in its source; the loss does not read it.

    Raises:
        TypeError: a field is not a tensor, or the plan is not one of tensors. `SMMixLoss` checks shapes and dtypes.

    Examples:
        >>> mixer = BatchMixer(TokenMix(grid=8), num_classes=3, return_plan=True)
        >>> mixed, targets, plan = mixer(images, labels)
        >>> batch = SMMixBatch(mixed, targets, labels, plan)
        >>> batch.plan.source_mask.shape, batch.predictions is None
        (torch.Size([4, 8, 8]), True)
    """

    images: Tensor
    targets: Tensor
    labels: Tensor
    plan: MixPlan
    predictions: Tensor | None = None
    index: Tensor | None = None

    def __post_init__(self) -> None:
        tensors = {"images": self.images, "targets": self.targets, "labels": self.labels}
        optional = {"predictions": self.predictions, "index": self.index}
        tensors |= {name: given for name, given in optional.items() if given is not None}
        for name, given in tensors.items():
            if not isinstance(given, Tensor):
                raise TypeError(f"batch.{name} must be a tensor, got {described(given)}")
        _check_plan(self.plan)


class SMMixLosses(NamedTuple):
    """The loss and its parts: scalars, float32, or float64 if the logits are.

    Attributes:
        total: the sum of the three parts.
        classification: cross-entropy with the mixed targets.
        tokens: cross-entropy of the two groups of tokens with their labels.
        consistency: divergence from the predictions for the unmixed images.

    Examples:
        >>> parts = SMMixLosses(*torch.tensor([3.5, 2.0, 1.0, 0.5]))
        >>> {name: value.item() for name, value in parts._asdict().items()}
        {'total': 3.5, 'classification': 2.0, 'tokens': 1.0, 'consistency': 0.5}
    """

    total: Tensor
    classification: Tensor
    tokens: Tensor
    consistency: Tensor


class SMMixLoss(nn.Module):
    """``SMMixLoss()(classifier(batch.images, batch.plan.tokens), batch).total.backward()``.

    Chen et al., "SMMix: Self-Motivated Image Mixing for Vision Transformers", arXiv 2212.12977. The total is the sum of

    * classification: cross-entropy of the logits with the mixed targets;
    * tokens: ½ · (cross-entropy of the tokens of image i with label i + that of the tokens of j with label j);
    * consistency: Kullback-Leibler divergence of the softmax of the logits from that of weight₀·pᵢ + weight₁·pⱼ, where
      p are the logits of the unmixed images. No gradient flows into these.

    Each is a mean over the batch. What the paper leaves open: an image that shows no token of its partner, because it
    is not mixed or, within a RandomChoice, mixed by Mixup or CutMix, counts 0 in tokens and consistency; where no token
    of image i is left, its cross-entropy counts 0. Such images still count in the size of the batch.

    Args:
        smoothing: label smoothing s in [0, 1] of the tokens' labels, (1 − s)·y + s / C; as for the mixed targets.

    Raises:
        TypeError, ValueError: smoothing is not a number in [0, 1].

    Examples:
        >>> step = SMMixStep(AttentionHeatmap(vit, "layers"), num_classes=3, method=SMMix(grid=8))
        >>> classifier, loss = TokenClassifier(vit, "layers", "head"), SMMixLoss(smoothing=0.1)
        >>> batch = step(images, labels)
        >>> losses = loss(classifier(batch.images, batch.plan.tokens), batch)
        >>> losses.total.backward()
    """

    def __init__(self, smoothing: float = 0.0) -> None:
        super().__init__()
        self.smoothing = checks.form("dense", smoothing)

    def extra_repr(self) -> str:
        return f"smoothing={self.smoothing}"

    def forward(self, outputs: tuple[Tensor, Tensor, Tensor], batch: SMMixBatch) -> SMMixLosses:
        """Compute the losses of one batch, in float32 at least, also under autocast.

        Args:
            outputs: ``(logits, target_logits, source_logits)``, floating [B, C] each, as from a `TokenClassifier`.
            batch: the mixed batch.

        Raises:
            TypeError, ValueError: outputs or batch are not as described. On a GPU, which the host does not wait for, a
                partner that is not in the batch makes the loss NaN instead; so does a label outside 0 .. C − 1, for
                which a later call raises the error.
        """
        logits, *of_groups = _checked(outputs, batch)
        exact = torch.promote_types(logits.dtype, torch.float32)
        logits, of_target, of_source = (given.to(exact) for given in (logits, *of_groups))
        classification = cross_entropy(logits, batch.targets.to(exact))
        partner, known = _partners(batch.plan)
        labels, of_classes = _labels(batch.labels, logits)
        shows = batch.plan.source_mask.flatten(1)
        known = known & of_classes
        tokens = self._tokens(of_target, of_source, labels, partner, shows).where(known, float("nan")).mean()
        consistency = _consistency(logits, batch, partner, shows.any(1))
        return SMMixLosses(classification + tokens + consistency, classification, tokens, consistency)

    def _tokens(self, of_target: Tensor, of_source: Tensor, labels: Tensor, partner: Tensor, shows: Tensor) -> Tensor:
        """The token loss of every image, [B]; `shows` is bool [B, N], the tokens that show the partner."""
        target_part = self._cross_entropies(of_target, labels).where(shows.any(1) & ~shows.all(1), 0)
        source_part = self._cross_entropies(of_source, labels[partner]).where(shows.any(1), 0)
        return (target_part + source_part) / 2

    def _cross_entropies(self, logits: Tensor, labels: Tensor) -> Tensor:
        return cross_entropy(logits, labels, reduction="none", label_smoothing=self.smoothing)


def _consistency(logits: Tensor, batch: SMMixBatch, partner: Tensor, counts: Tensor) -> Tensor:
    if batch.predictions is None:
        return logits.new_zeros(())
    own, weight = batch.predictions.detach().to(logits.dtype), batch.plan.weight.to(logits.dtype)
    mixed = weight[:, :1] * own + weight[:, 1:] * own[partner]
    divergences = kl_div(logits.log_softmax(1), mixed.softmax(1), reduction="none").sum(1)
    return divergences.where(counts, 0).mean()


def _labels(labels: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
    """Floating [B, C], or int64 [B] clamped to the classes; and bool [B]: whether the class exists."""
    if labels.is_floating_point():
        return labels.to(logits.dtype), torch.ones_like(labels[:, 0], dtype=torch.bool)
    size, classes = logits.shape
    labels = labels.long().reshape(size)
    return labels.clamp(0, classes - 1), are_classes(labels, classes)


def _partners(plan: MixPlan) -> tuple[Tensor, Tensor]:
    """Int64 [B], clamped to the batch, and bool [B]: whether the partner was in the batch."""
    size = len(plan.partner)
    inside = (plan.partner >= 0) & (plan.partner < size)
    if inside.device.type == "cpu" and can_be_read(inside) and not inside.all():
        other = plan.partner[~inside][0].item()
        raise ValueError(f"plan.partner names image {other} of a batch of {size}: train on whole ones, drop_last=True")
    return plan.partner.long().clamp(0, size - 1), inside


def _checked(outputs: Any, batch: SMMixBatch) -> tuple[Tensor, Tensor, Tensor]:
    """Check and return the three outputs. A wrong shape would often be broadcast, and give a number all the same."""
    if not isinstance(outputs, (tuple, list)) or len(outputs) != 3:
        got = f"{len(outputs)} of them" if isinstance(outputs, (tuple, list)) else type(outputs).__name__
        raise TypeError(f"outputs must be (logits, target_logits, source_logits) of a TokenClassifier, got {got}")
    if not isinstance(batch, SMMixBatch):
        raise TypeError(f"batch must be an SMMixBatch, got {type(batch).__name__}")
    size, classes = shape = _matrix("logits", outputs[0])
    floating = {"target_logits": outputs[1], "source_logits": outputs[2], "batch.targets": batch.targets}
    if batch.predictions is not None:
        floating["batch.predictions"] = batch.predictions
    for name, given in floating.items():
        if _matrix(name, given) != shape:
            raise ValueError(f"{name} must be {[*shape]} as the logits are, got {[*given.shape]}")
    _check_labels(batch.labels, size, classes)
    _check_parts(batch.plan, size)
    for name, given in (floating | {"batch.labels": batch.labels, "batch.plan": batch.plan.partner}).items():
        same_device(name, given, "the logits", outputs[0])
    return outputs[0], outputs[1], outputs[2]


def _matrix(name: str, given: Any) -> tuple[int, int]:
    """Check a floating matrix and return its shape."""
    if not is_floating(given):
        raise TypeError(f"{name} must be a floating tensor [B, classes], got {described(given)}")
    if given.ndim != 2:
        raise ValueError(f"{name} must be [B, classes], got {[*given.shape]}")
    return given.shape[0], given.shape[1]


def _check_labels(labels: Tensor, size: int, classes: int) -> None:
    dense = is_floating(labels)
    shapes = [(size, classes)] if dense else [(size,), (size, 1)]
    if not (dense or is_integer(labels)) or tuple(labels.shape) not in shapes:
        raise ValueError(
            f"batch.labels must be integer [{size}] or floating [{size}, {classes}], got {described(labels)}"
        )


def _check_plan(plan: Any) -> None:
    parts = plan.arrays() if isinstance(plan, MixPlan) else (plan,)
    other = next((type(part) for part in parts if not isinstance(part, Tensor)), None)
    if other is not None or not isinstance(plan, MixPlan):
        raise TypeError(f"batch.plan must be a dalimix.MixPlan of tensors, got {other or Tensor}")


def _check_parts(plan: MixPlan, size: int) -> None:
    """Check the parts of the plan that are read. `source_mask` raises an error for a plan without tokens."""
    for name, given in (("tokens", plan.source_mask), ("partner", plan.partner), ("weight", plan.weight)):
        checks.batch(f"plan.{name}", given, size)
    if plan.weight.shape != (size, 2):
        raise ValueError(f"plan.weight must be [{size}, 2], got {[*plan.weight.shape]}")
