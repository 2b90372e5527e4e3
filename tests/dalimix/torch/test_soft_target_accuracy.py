"""soft_target_accuracy against loops over images and classes, and against what the papers' code prints."""

import math

import pytest
import torch

import dalimix
import dalimix.torch.class_indices as class_indices_module
from dalimix import CutMix, TokenMix
from dalimix.torch import BatchMixer, soft_target_accuracy
from tests.support.backends import device_fixture
from tests.support.data.at_random import seeded

B, C = 12, 7

device = device_fixture("cuda")


def logits(size=B, seed=0):
    return torch.randn(size, C, generator=seeded(seed))


def class_indices(seed=1, size=B):
    return torch.randint(C, (size,), generator=seeded(seed))


def a_pair():
    """Two of the images keep their own class: their weights count together."""
    own, lam = class_indices(1), torch.rand(B, generator=seeded(3))
    return own, torch.cat([own[:2], class_indices(2)[2:]]), torch.stack([lam, 1 - lam], 1)


def dense(own, partners, weights):
    return weights[:, :1] * torch.eye(C)[own] + weights[:, 1:] * torch.eye(C)[partners]


def by_hand(outputs, targets, k):
    """The mean over images of the target's sum over the k highest logits; targets dense."""
    total = 0.0
    for row, target in zip(outputs.tolist(), targets.tolist(), strict=True):
        highest = sorted(range(len(row)), key=lambda c: -row[c])[:k]
        total += sum(target[c] for c in highest)
    return total / len(outputs)


def usual_accuracy(outputs, labels, k=1):
    """In percent, as the papers' code has it."""
    hits = outputs.topk(k, 1).indices.t().eq(labels.view(1, -1).expand(k, -1))
    return hits.reshape(-1).float().sum() * 100 / len(labels)


@pytest.mark.parametrize("k", [1, 2, 5, C])
def test_every_form_equals_the_loops(device, k):
    outputs, pair = logits(), a_pair()
    expected = by_hand(outputs, dense(*pair), k)
    assert 0 < expected < 1 or k == C
    on_device = outputs.to(device)
    for targets in (dense(*pair).to(device), tuple(part.to(device) for part in pair)):
        accuracy = soft_target_accuracy(on_device, targets, k)
        assert (accuracy.dtype, accuracy.shape, accuracy.device.type) == (torch.float32, (), device)
        assert accuracy.item() == pytest.approx(expected, abs=1e-6)
    of_numbers = soft_target_accuracy(on_device, pair[0].to(device), k)
    assert of_numbers.item() == pytest.approx(by_hand(outputs, torch.eye(C)[pair[0]], k), abs=1e-6)


@pytest.mark.parametrize("k", [1, 3])
def test_equals_the_code_of_the_papers(k):
    """λ·accuracy(a) + (1 − λ)·accuracy(b), with one λ for the batch as there."""
    outputs, (own, partners, _), lam = logits(), a_pair(), 0.3
    expected = lam * usual_accuracy(outputs, own, k) + (1 - lam) * usual_accuracy(outputs, partners, k)
    weights = torch.tensor([lam, 1 - lam]).expand(B, 2)
    assert torch.allclose(100 * soft_target_accuracy(outputs, (own, partners, weights), k), expected)
    assert torch.allclose(100 * soft_target_accuracy(outputs, dense(own, partners, weights), k), expected)


def test_class_indices_give_the_usual_accuracy():
    outputs = logits()
    assert torch.equal(soft_target_accuracy(outputs, outputs.argmax(1)), torch.tensor(1.0))
    assert torch.equal(soft_target_accuracy(outputs, outputs.argmin(1), C - 1), torch.tensor(0.0))
    assert torch.allclose(100 * soft_target_accuracy(outputs, class_indices(), 2),
                          usual_accuracy(outputs, class_indices(), 2))  # fmt: skip


@pytest.mark.parametrize("form", ["dense", "pair"])
@pytest.mark.parametrize("method", [CutMix(), TokenMix(grid=4, min_tokens=1)], ids=lambda m: m.name)
def test_targets_of_the_mixer(method, form):
    """Both forms as they come, also where TokenMix's heatmaps give weights that do not add up to 1."""
    images, labels = torch.zeros(B, 3, 8, 8), class_indices()
    heatmaps = torch.rand(B, 4, 4, generator=seeded(5)) ** 4 if method.reads_heatmaps else None
    options = {"form": form, "return_plan": True, "generator": seeded(4)}
    _, targets, plan = BatchMixer(method, C, **options)(images, labels, heatmaps)
    expected = by_hand(logits(), torch.from_numpy(dalimix.soft_labels(labels.numpy(), as_numpy(plan), C)), 2)
    assert soft_target_accuracy(logits(), targets, 2).item() == pytest.approx(expected, abs=1e-6)
    adds_up = torch.allclose(plan.weight.sum(1), torch.ones(B), atol=1e-3)
    assert adds_up == (not method.reads_heatmaps)


def as_numpy(plan):
    return dalimix.MixPlan(*(array.numpy() for array in plan.arrays()))


def test_weights_of_one_class_add_up():
    outputs, label = torch.tensor([[0.0, 1.0, 2.0]]), torch.tensor([2])
    weights = torch.tensor([[0.25, 0.75]])
    assert soft_target_accuracy(outputs, (label, label, weights)).item() == 1
    assert soft_target_accuracy(outputs, (label, label - 1, weights)).item() == 0.25
    assert soft_target_accuracy(outputs, (label, label - 1, weights), 2).item() == 1


def test_a_pair_of_soft_labels():
    (own, partners, weights), outputs = a_pair(), logits()
    first, second = logits(seed=8).softmax(1), logits(seed=9).softmax(1)
    expected = by_hand(outputs, weights[:, :1] * first + weights[:, 1:] * second, 3)
    assert soft_target_accuracy(outputs, (first, second, weights), 3).item() == pytest.approx(expected, abs=1e-6)
    mixed = soft_target_accuracy(outputs, (torch.eye(C)[own], partners, weights), 3)
    assert torch.allclose(mixed, soft_target_accuracy(outputs, (own, partners, weights), 3))


@pytest.mark.parametrize("k", [1, 3])
def test_smoothed_targets_as_documented(k):
    outputs, pair, s = logits(), a_pair(), 0.1
    smoothed = (1 - s) * dense(*pair) + s / C
    expected = (1 - s) * soft_target_accuracy(outputs, pair, k) + s * k / C
    assert torch.allclose(soft_target_accuracy(outputs, smoothed, k), expected)


def test_several_ks_give_several_scalars():
    outputs, targets = logits(), a_pair()
    accuracies = soft_target_accuracy(outputs, targets, (5, 1, C))
    assert isinstance(accuracies, tuple)
    assert [one.item() for one in accuracies] == [soft_target_accuracy(outputs, targets, k).item() for k in (5, 1, C)]
    assert accuracies[0] > accuracies[1]
    (single,) = soft_target_accuracy(outputs, targets, [1])
    assert torch.equal(single, soft_target_accuracy(outputs, targets, 1))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_any_floating_logits(device, dtype):
    outputs, targets = logits().to(dtype), dense(*a_pair())
    assert all(len(set(row)) == C for row in outputs.tolist())  # no two alike, of which either could be the higher
    expected = by_hand(outputs, targets, 2)
    accuracy = soft_target_accuracy(outputs.to(device), targets.to(device), 2)
    assert accuracy.dtype == torch.float32
    assert accuracy.item() == pytest.approx(expected, abs=1e-6)
    with torch.autocast(device, dtype=torch.bfloat16):
        assert torch.equal(soft_target_accuracy(outputs.to(device), targets.to(device), 2), accuracy)


def test_half_targets_are_summed_in_float32():
    """Sums of halves would be rounded to halves: within a target, and over the batch."""
    outputs = logits(1500)
    targets = torch.zeros(1500, C, dtype=torch.float16)
    targets[torch.arange(1500), outputs.argmax(1)] = torch.arange(1500).remainder(2).half() * 0.9
    assert soft_target_accuracy(outputs, targets).item() == pytest.approx(0.89990234375 / 2, rel=1e-6)
    target = torch.tensor([[0.5, 2**-12, 0.0]], dtype=torch.float16)
    assert soft_target_accuracy(torch.tensor([[2.0, 1.0, 0.0]]), target, 2).item() == 0.5 + 2**-12


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64], ids=str)
def test_weights_of_any_floating_type(dtype):
    outputs, label, weights = torch.tensor([[1.0, 0.0]]), torch.tensor([0]), torch.tensor([[0.3, 0.7]], dtype=dtype)
    accuracy = soft_target_accuracy(outputs, (label, label + 1, weights))
    assert torch.equal(accuracy, weights[0, 0].float())


@pytest.mark.parametrize("integer", [torch.int32, torch.uint8, torch.uint16], ids=str)
def test_labels_of_any_integer_type(integer):
    own, partners, weights = a_pair()
    pair = own.to(integer), partners.to(integer), weights
    assert torch.equal(soft_target_accuracy(logits(), pair), soft_target_accuracy(logits(), a_pair()))
    assert torch.equal(soft_target_accuracy(logits(), list(pair)), soft_target_accuracy(logits(), a_pair()))


def test_no_gradient():
    outputs, (own, partners, weights) = logits().requires_grad_(), a_pair()
    weights.requires_grad_()
    for targets in (own, (own, partners, weights), dense(own, partners, weights)):
        assert not soft_target_accuracy(outputs, targets).requires_grad
    assert torch.is_grad_enabled()


def test_the_host_reads_no_value():
    """Tensors of the meta device have none: whatever waits for one fails."""
    outputs, pair = logits().to("meta"), tuple(part.to("meta") for part in a_pair())
    for targets in (pair, pair[0], torch.zeros(B, C, device="meta")):
        accuracy, best_five = soft_target_accuracy(outputs, targets, (1, 5))
        assert (accuracy.device.type, accuracy.dtype, accuracy.shape) == ("meta", torch.float32, ())
        assert best_five.shape == ()


@pytest.mark.parametrize("form", ["dense", "pair", "numbers"])
def test_an_empty_batch_has_no_mean(form):
    own = class_indices(size=0)
    targets = {"dense": torch.zeros(0, C), "pair": (own, own, torch.zeros(0, 2)), "numbers": own}[form]
    assert soft_target_accuracy(logits(0), targets).isnan()


@pytest.mark.parametrize("label", [-1, C, 300])
def test_a_class_that_there_is_not(label):
    own, partners, weights = a_pair()
    wrong = own.clone()
    wrong[3] = label
    for targets in (wrong, (wrong, partners, weights), (own, wrong, weights)):
        with pytest.raises(ValueError, match=rf"label {label} of sample 3 is outside 0 \.\. 6"):
            soft_target_accuracy(logits(), targets)


@pytest.mark.parametrize("label", [-1, C])
def test_a_class_at_which_nobody_looks_gives_nan(label, monkeypatch):
    monkeypatch.setattr(class_indices_module, "_refuse_others", lambda *_: None)  # as on a GPU
    own, partners, weights = a_pair()
    wrong = own.index_fill(0, torch.tensor([3]), label)
    for targets in (wrong, (wrong, partners, weights), (own, wrong, weights)):
        assert soft_target_accuracy(logits(), targets, C).isnan()


@pytest.mark.cuda
@pytest.mark.parametrize("label", [-1, C])
def test_on_a_gpu_a_class_that_there_is_not_gives_nan_and_nothing_waits(label, gpu):
    outputs, wrong = logits().cuda(), class_indices().cuda()
    wrong[3] = label
    torch.cuda.set_sync_debug_mode("error")
    try:
        accuracy = soft_target_accuracy(outputs, wrong, 2)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert accuracy.isnan()


OWN, PARTNERS, WEIGHTS = a_pair()
WRONG = [
    ({"outputs": [[1.0]]}, TypeError, r"outputs must be floating \[B, classes\], got list"),
    ({"outputs": torch.zeros(B, C).long()}, TypeError, r"outputs must be floating .*, got torch.int64 \[12, 7\]"),
    ({"outputs": torch.zeros(B)}, ValueError, r"outputs must be \[B, classes\], got torch.float32 \[12\]"),
    ({"outputs": torch.zeros(B, 0)}, ValueError, r"outputs must be \[B, classes\], got torch.float32 \[12, 0\]"),
    ({"targets": None}, TypeError, r"targets must be a tensor, or \(labels, .*\), got NoneType"),
    ({"targets": (OWN, PARTNERS)}, TypeError, r"targets must be a tensor, or \(labels, .*\), got 2 of them"),
    ({"targets": OWN[1:]}, ValueError, r"targets must be floating \[12, 7\] or integer \[12\], got torch.int64 \[11\]"),
    ({"targets": OWN[:, None]}, ValueError, r"or integer \[12\], got torch.int64 \[12, 1\]"),
    ({"targets": OWN.bool()}, ValueError, r"or integer \[12\], got torch.bool \[12\]"),
    ({"targets": OWN.cfloat()}, ValueError, r"or integer \[12\], got torch.complex64 \[12\]"),
    ({"targets": torch.zeros(B, C - 1)}, ValueError, r"targets must be floating \[12, 7\] .*, got .* \[12, 6\]"),
    ({"targets": torch.zeros(B, C).long()}, ValueError, r"or integer \[12\], got torch.int64 \[12, 7\]"),
    ({"targets": OWN.to("meta")}, ValueError, "targets must be on cpu as outputs are, got meta"),
    ({"targets": (OWN[1:], PARTNERS, WEIGHTS)}, ValueError, r"the labels of targets must be .* \[11\]"),
    ({"targets": (OWN, 3, WEIGHTS)}, ValueError, "the partners' labels of targets must be .* got int"),
    ({"targets": (OWN, PARTNERS, WEIGHTS[:, 0])}, ValueError, r"the weights of targets must be floating \[12, 2\]"),
    ({"targets": (OWN, PARTNERS, 0.5)}, ValueError, r"the weights of targets must be floating \[12, 2\], got float"),
    ({"targets": (OWN, PARTNERS, WEIGHTS.int())}, ValueError, r"floating \[12, 2\], got torch.int32"),
    ({"targets": (OWN, PARTNERS, WEIGHTS.to("meta"))}, ValueError, "the weights of targets must be on cpu as outputs"),
    ({"topk": 0}, ValueError, "topk must be from 1 to 7, the number of classes, got 0"),
    ({"topk": C + 1}, ValueError, "topk must be from 1 to 7, the number of classes, got 8"),
    ({"topk": (1, C + 1)}, ValueError, "topk must be from 1 to 7, the number of classes, got 8"),
    ({"topk": ()}, ValueError, "topk must be a number of classes, or several, got none"),
    ({"topk": 1.0}, TypeError, "topk must be whole numbers from 1 to 7, got 1.0"),
    ({"topk": True}, TypeError, "topk must be whole numbers from 1 to 7, got True"),
    ({"topk": {1, 5}}, TypeError, r"topk must be whole numbers from 1 to 7, got \{1, 5\}"),
]


@pytest.mark.parametrize(("changes", "error", "message"), WRONG, ids=lambda v: str(v)[:40].replace("\n", " "))
def test_errors(changes, error, message):
    with pytest.raises(error, match=message):
        soft_target_accuracy(**{"outputs": logits(), "targets": a_pair(), **changes})


def test_nan_logits_are_higher_than_any_number():
    outputs = torch.tensor([[math.inf, math.nan, 0.0]])
    assert soft_target_accuracy(outputs, torch.tensor([1])).item() == 1
