"""SMMixLoss against its formulas, written out in loops over images and classes in float64."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.func import functional_call

from dalimix import MixPlan
from dalimix.torch import SMMixBatch, SMMixLoss, TokenClassifier
from tests.support.models.vits import Small

B, C, GRID = 5, 4, (2, 3)
PARTNER = [2, 1, 0, 4, 3]  # the second image is its own
SHOWN = [[1, 0, 0, 1, 0, 0], [0] * 6, [1] * 6, [0] * 6, [0, 1, 1, 1, 1, 1]]  # one is covered, one mixed without tokens


def random(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def plan():
    tokens = torch.tensor(SHOWN, dtype=torch.uint8).reshape(B, *GRID)
    other = tokens.flatten(1).float().mean(1)
    other[3] = 0.3
    empty = torch.zeros(B, 4, dtype=torch.int32)
    partner, weight = torch.tensor(PARTNER, dtype=torch.int32), torch.stack([1 - other, other], 1)
    return MixPlan(partner, weight, torch.ones(B), empty, empty[:, :2], tokens)


def outputs(**options):
    return tuple(2 * random(B, C, seed=seed, **options) for seed in range(3))


INTEGER = {
    "int64": torch.tensor([0, 3, 1, 1, 2]),
    "int32": torch.tensor([0, 3, 1, 1, 2], dtype=torch.int32),
    "uint8": torch.tensor([0, 3, 1, 1, 2], dtype=torch.uint8),
    "column": torch.tensor([[0], [3], [1], [1], [2]]),
}
FLOATING = {"soft": random(B, C, seed=8).softmax(1), "soft-float32": random(B, C, seed=8).softmax(1).float()}


def batch(**changes):
    targets, predictions = random(B, C, seed=7).softmax(1).float(), 3 * random(B, C, seed=9)
    return replace(SMMixBatch(torch.zeros(B, 3, 4, 6), targets, INTEGER["int64"], plan(), predictions), **changes)


def log_softmax(logits):
    highest = max(logits)
    total = highest + math.log(sum(math.exp(logit - highest) for logit in logits))
    return [logit - total for logit in logits]


def cross_entropy(logits, target):
    return -sum(t * log for t, log in zip(target, log_softmax(logits), strict=True))


def divergence(logits, mixed):
    """Of the softmax of `logits` from that of `mixed`."""
    terms = zip(log_softmax(mixed), log_softmax(logits), strict=True)
    return sum(math.exp(theirs) * (theirs - ours) for theirs, ours in terms)


def smooth(label, smoothing):
    target = list(label) if isinstance(label, list) else [float(c == label) for c in range(C)]
    return [(1 - smoothing) * t + smoothing / C for t in target]


def expected(given, of, smoothing=0.0):
    logits, target_logits, source_logits = (np.asarray(output.detach().double()).tolist() for output in given)
    targets, weight = of.targets.double().tolist(), of.plan.weight.double().tolist()
    labels = of.labels.double().tolist() if of.labels.is_floating_point() else of.labels.flatten().tolist()
    own = None if of.predictions is None else of.predictions.detach().double().tolist()
    classification = tokens = consistency = 0.0
    for i, j in enumerate(of.plan.partner.tolist()):
        shown = of.plan.tokens[i].flatten().tolist()
        classification += cross_entropy(logits[i], targets[i]) / B
        if not any(shown):
            continue
        tokens += cross_entropy(source_logits[i], smooth(labels[j], smoothing)) / B / 2
        if not all(shown):
            tokens += cross_entropy(target_logits[i], smooth(labels[i], smoothing)) / B / 2
        if own is not None:
            mixed = [weight[i][0] * own[i][c] + weight[i][1] * own[j][c] for c in range(C)]
            consistency += divergence(logits[i], mixed) / B
    return classification + tokens + consistency, classification, tokens, consistency


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("labels", [*INTEGER, *FLOATING])
def test_equals_the_formulas(labels, smoothing):
    of = batch(labels=(INTEGER | FLOATING)[labels])
    losses = SMMixLoss(smoothing)(outputs(), of)
    assert [loss.shape for loss in losses] == [()] * 4
    assert {loss.dtype for loss in losses} == {torch.float64}
    assert [loss.item() for loss in losses] == pytest.approx(expected(outputs(), of, smoothing), rel=1e-12)


def test_each_part_is_there():
    assert min(expected(outputs(), batch())) > 0.1


def test_without_predictions_there_is_no_consistency():
    of = batch(predictions=None)
    losses = SMMixLoss()(outputs(), of)
    assert losses.consistency == 0
    assert [loss.item() for loss in losses] == pytest.approx(expected(outputs(), of), rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_at_least_float32(dtype):
    given = outputs(dtype=dtype)
    of = batch(predictions=batch().predictions.to(dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = SMMixLoss(0.1)(given, of)
    assert {loss.dtype for loss in losses} == {torch.float32}
    assert [loss.item() for loss in losses] == pytest.approx(expected(given, of, 0.1), rel=1e-5)


@pytest.mark.parametrize(("shown", "groups"), [(0, (1, 2)), (1, (1,))], ids=["nothing shows", "all is covered"])
def test_groups_without_tokens_do_not_count(shown, groups):
    """Whatever was made of them; here infinity."""
    of = batch(plan=replace(plan(), tokens=torch.full((B, *GRID), shown, dtype=torch.uint8)))
    given = outputs()
    for group in groups:
        given[group].fill_(math.inf)
    losses = SMMixLoss()(given, of)
    assert [loss.item() for loss in losses] == pytest.approx(expected(given, of), rel=1e-12)


def test_no_gradient_into_the_predictions_nor_where_nothing_shows():
    given = [output.requires_grad_() for output in outputs()]
    of = batch()
    of.predictions.requires_grad_()
    SMMixLoss()(tuple(given), of).total.backward()
    assert of.predictions.grad is None
    assert given[1].grad.any(1).tolist() == [any(shown) and not all(shown) for shown in SHOWN]
    assert given[2].grad.any(1).tolist() == [any(shown) for shown in SHOWN]
    assert given[0].grad.any(1).all()


def test_predictions_that_are_sure_are_no_nan():
    of = batch(predictions=torch.tensor([[1e4, 0, -1e4, -1e4]], dtype=torch.float64).repeat(B, 1))
    given = [output.requires_grad_() for output in outputs()]
    losses = SMMixLoss()(tuple(given), of)
    losses.total.backward()
    assert math.isfinite(losses.total.item())
    assert torch.isfinite(given[0].grad).all()


def test_the_gradient_of_model_and_loss():
    """By finite differences, through the classifier, for images with all, some and no tokens of a partner."""
    torch.manual_seed(0)
    classifier = TokenClassifier(Small(C, side=4, patch=2, width=4, depth=1).double(), "layers", "head")
    names, values = zip(*classifier.named_parameters(), strict=True)
    tokens = torch.tensor([[0, 0, 0, 0], [1, 1, 1, 1], [0, 1, 1, 0]], dtype=torch.uint8).reshape(3, 2, 2)
    weight = torch.tensor([[1, 0], [0, 1], [0.5, 0.5]])
    planned = replace(plan(), partner=torch.tensor([0, 2, 1]), weight=weight, tokens=tokens)
    first = {"targets": batch().targets[:3], "labels": batch().labels[:3], "predictions": batch().predictions[:3]}
    of = batch(plan=planned, **first)

    def losses(images, *parameters):
        given = functional_call(classifier, dict(zip(names, parameters, strict=True)), (images, tokens))
        return tuple(SMMixLoss(0.1)(given, of))

    images = random(3, 3, 4, 4, seed=4).requires_grad_()
    assert torch.autograd.gradcheck(losses, (images, *values), fast_mode=True)  # one by one it takes a minute


def test_bad_outputs():
    loss, (logits, target, source) = SMMixLoss(), outputs()
    with pytest.raises(TypeError, match=r"outputs must be \(logits, .* of a TokenClassifier, got Tensor"):
        loss(logits, batch())
    with pytest.raises(TypeError, match=r"outputs must be \(logits, .* of a TokenClassifier, got 2 of them"):
        loss((logits, target), batch())
    with pytest.raises(TypeError, match=r"target_logits must be a floating tensor \[B, classes\], got torch.int64"):
        loss((logits, target.long(), source), batch())
    with pytest.raises(ValueError, match=r"logits must be \[B, classes\], got \[5\]"):
        loss((logits[:, 0], target, source), batch())
    with pytest.raises(ValueError, match=r"source_logits must be \[5, 4\] as the logits are, got \[1, 4\]"):
        loss((logits, target, source[:1]), batch())
    with pytest.raises(TypeError, match="batch must be an SMMixBatch, got tuple"):
        loss(outputs(), (1, 2))


def test_bad_batches():
    def refused(error, message, **changes):
        with pytest.raises(error, match=message):
            SMMixLoss()(outputs(), batch(**changes))

    labels = INTEGER["int64"]
    refused(ValueError, r"batch.targets must be \[5, 4\] as the logits are, got \[5, 3\]", targets=torch.ones(5, 3))
    refused(TypeError, r"batch.targets must be a tensor, got tuple", targets=(labels, labels))
    refused(ValueError, r"batch.predictions must be \[5, 4\] .* got \[1, 4\]", predictions=torch.ones(1, 4))
    refused(ValueError, r"batch.labels must be .* got torch.int64 \[4\]", labels=labels[:4])
    refused(ValueError, r"integer \[5\] or floating \[5, 4\], got torch.float32 \[5\]", labels=labels.float())
    refused(ValueError, r"batch.labels must be .* got torch.int64 \[5, 4\]", labels=labels[:, None].repeat(1, 4))
    refused(ValueError, r"batch.labels must be .* got torch.bool \[5\]", labels=labels > 1)
    refused(TypeError, r"batch.labels must be a tensor, got list", labels=[0, 1, 2, 3, 0])
    refused(TypeError, r"batch.predictions must be a tensor, got numpy.ndarray", predictions=np.ones((5, 4)))
    refused(ValueError, "batch.targets must be on cpu as the logits are, got meta", targets=torch.ones(5, 4).to("meta"))
    refused(ValueError, "batch.labels must be on cpu as the logits are, got meta", labels=labels.to("meta"))
    refused(ValueError, "this plan has no tokens", plan=replace(plan(), tokens=None))
    refused(ValueError, "plan.tokens has 4 entries", plan=replace(plan(), tokens=plan().tokens[:4]))
    refused(ValueError, "plan.partner has 4 entries", plan=replace(plan(), partner=plan().partner[:4]))
    refused(ValueError, "plan.weight has 1 entries", plan=replace(plan(), weight=plan().weight[:1]))
    for columns, got in ((slice(1), r"\[5, 1\]"), (0, r"\[5\]")):
        weight = plan().weight[:, columns]
        refused(ValueError, rf"plan.weight must be \[5, 2\], got {got}", plan=replace(plan(), weight=weight))
    arrays = MixPlan(*(array.numpy() for array in plan().arrays()))
    wrong = {"numpy.ndarray": arrays, "NoneType": None, "torch.Tensor": plan().tokens}
    for got, given in wrong.items():
        refused(TypeError, f"batch.plan must be a dalimix.MixPlan of tensors, got <class '{got}'>", plan=given)


def test_a_partner_that_was_cut_off():
    cut = replace(plan(), partner=torch.tensor([1, 5, 3, 2, 0], dtype=torch.int32))
    with pytest.raises(ValueError, match="plan.partner names image 5 of a batch of 5: .* drop_last=True"):
        SMMixLoss()(outputs(), batch(plan=cut))


@pytest.mark.cuda
def test_a_partner_that_was_cut_off_on_a_gpu(gpu):
    """Nothing is looked up outside of the batch, and the loss shows it."""
    cut = replace(plan(), partner=torch.tensor([1, 5, 3, 2, 0], dtype=torch.int32))
    cut = MixPlan(*(array.cuda() for array in cut.arrays()))
    tensors = {name: getattr(batch(), name).cuda() for name in ("images", "targets", "labels", "predictions")}
    losses = SMMixLoss()(tuple(output.cuda() for output in outputs()), SMMixBatch(plan=cut, **tensors))
    assert losses.total.isnan()
    assert losses.consistency.isfinite()


@pytest.mark.parametrize("smoothing", [-0.1, 1.1, math.nan])
def test_bad_smoothing(smoothing):
    with pytest.raises(ValueError, match="smoothing must be in"):
        SMMixLoss(smoothing)


@pytest.mark.parametrize("smoothing", ["a", None])
def test_smoothing_that_is_no_number(smoothing):
    with pytest.raises(TypeError, match=f"smoothing must be a number in .*, got {smoothing!r}"):
        SMMixLoss(smoothing)
