"""examples/imagenet: LAMB, the rates of layers, and the losses."""

import sys
from math import log
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests.support import imagenet_runs

example = imagenet_runs.example


def lamb_by_hand(weights, gradients, lr, decay, beta1=0.9, beta2=0.999, eps=1e-6):
    """The weights after a step with each gradient, in float64."""
    mean = square = 0.0
    for step, gradient in enumerate(gradients, 1):
        mean = beta1 * mean + (1 - beta1) * gradient
        square = beta2 * square + (1 - beta2) * gradient**2
        update = mean / (1 - beta1**step) / (np.sqrt(square / (1 - beta2**step)) + eps)
        if decay:
            update = update + decay * weights
            if np.linalg.norm(weights):
                update = update * np.linalg.norm(weights) / np.linalg.norm(update)
        weights = weights - lr * update
    return weights


@pytest.mark.parametrize("first", [1.0, 0.0])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_lamb(example, decay, first):
    """Steps as long as the weights, but Adam's where nothing decays or the weights are 0."""
    rng = np.random.default_rng(0)
    start, gradients = first * rng.normal(size=(3, 4)), rng.normal(size=(5, 3, 4))
    weights = torch.nn.Parameter(torch.tensor(start))
    optimizer = sys.modules["lamb"].Lamb([{"params": [weights], "weight_decay": decay}], lr=0.03)
    for gradient in gradients:
        weights.grad = torch.tensor(gradient)
        optimizer.step()
    assert np.allclose(weights.detach().numpy(), lamb_by_hand(start, gradients, 0.03, decay), rtol=1e-9)


def test_lamb_of_timm_is_taken_where_it_is(example, monkeypatch):
    """It would clip a second time."""
    optimization = sys.modules["optimization"]
    monkeypatch.setattr(optimization, "find_spec", lambda name: True)
    given = SimpleNamespace(Lamb=lambda groups, lr, **options: (groups, {"lr": lr} | options))
    monkeypatch.setitem(sys.modules, "timm", SimpleNamespace(optim=given))
    monkeypatch.setitem(sys.modules, "timm.optim", given)
    recipe = sys.modules["recipes"].A3
    expected = {"lr": 0.5, "betas": (0.9, 0.999), "eps": 1e-6, "max_grad_norm": None}
    assert optimization.OPTIMIZERS["lamb"]([], 0.5, recipe.optimization) == ([], expected)
    monkeypatch.setattr(optimization, "find_spec", lambda name: None)
    made = optimization.OPTIMIZERS["lamb"]([torch.nn.Parameter(torch.ones(1))], 0.5, recipe.optimization)
    assert isinstance(made, sys.modules["lamb"].Lamb)


class Layers(torch.nn.Sequential):
    def group_matcher(self, coarse):
        """As a model of timm has it."""

    def no_weight_decay(self):
        return ["2.weight"]


def groups_of_timm(model, weight_decay, no_weight_decay_list, layer_decay):
    assert (weight_decay, no_weight_decay_list, layer_decay) == (0.05, {"2.weight"}, 0.5)
    scales = [layer_decay ** (2 - k) for k in range(3)]
    return [{"params": list(layer.parameters()), "lr_scale": scale, "weight_decay": weight_decay}
            for layer, scale in zip(model, scales, strict=True)]  # fmt: skip


def test_layers_have_rates_of_their_own(example, monkeypatch):
    """From the first step on, and along the cosine."""
    monkeypatch.setitem(sys.modules, "timm.optim", SimpleNamespace(param_groups_layer_decay=groups_of_timm))
    monkeypatch.setitem(sys.modules, "timm", SimpleNamespace())
    model = Layers(*(torch.nn.Linear(2, 2) for _ in range(3)))
    given = {"layer_decay": 0.5, "epochs": 2, "warmup_epochs": 0}
    recipe = sys.modules["values"].overridden(sys.modules["recipes"].CONVNEXT, given)
    optimizer, schedule = sys.modules["optimization"].optimizer_and_schedule(model, recipe, 2)
    for share in (1.0, 0.8535):
        rates = [group["lr"] for group in optimizer.param_groups]
        assert rates == pytest.approx([4e-3 * share * scale for scale in (0.25, 0.5, 1)], rel=1e-3)
        optimizer.step()
        schedule.step()


TARGETS = torch.tensor([[0.75, 0.25, 0.0], [0.1, 0.0, 0.9]])
THERE = {0.2: [[1, 1, 0], [0, 0, 1]], 0.0: [[1, 1, 0], [1, 0, 1]]}


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("threshold", THERE)
def test_binary_cross_entropy(example, threshold, smoothing):
    """The mean over classes and images, of targets that are smoothed last."""
    logits = torch.tensor([[0.5, -1.0, 2.0], [3.0, 0.0, -0.5]])
    wanted = (1 - smoothing) * torch.tensor(THERE[threshold]).float() + smoothing / 3
    p = logits.sigmoid()
    expected = -(wanted * p.log() + (1 - wanted) * (1 - p).log()).mean().item()
    loss = sys.modules["losses"].BinaryCrossEntropy(threshold, smoothing)
    assert loss(logits, TARGETS).item() == pytest.approx(expected, rel=1e-5)
    assert loss.smoothing_in_loader == 0


def test_binary_cross_entropy_of_class_indices(example):
    logits, labels = torch.randn(4, 3), torch.tensor([0, 2, 1, 1])
    loss = sys.modules["losses"].BinaryCrossEntropy(0.2, 0.1)
    assert torch.equal(loss(logits, labels), loss(logits, torch.nn.functional.one_hot(labels, 3).float()))


def test_targets_are_exact_in_mixed_precision(example):
    loss, logits = sys.modules["losses"].BinaryCrossEntropy(0.2, 0.1), torch.zeros(1, 1000, dtype=torch.bfloat16)
    targets = torch.zeros(1, 1000)
    targets[0, 3] = 1.0
    logits[0, 3] = 100.0
    expected = (999 * log(2) + 100 * (1 - 0.9001)) / 1000
    with torch.autocast("cpu", torch.bfloat16):
        assert loss(logits, targets).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("name", "kind"), [("deit", "CrossEntropy"), ("a1", "BinaryCrossEntropy")])
def test_the_loss_of_a_recipe(example, name, kind):
    made = sys.modules["losses"].make_loss(sys.modules["recipes"].RECIPES[name].loss)
    assert (type(made).__name__, made.smoothing) == (kind, 0.1)
    assert getattr(made, "threshold", 0.2) == 0.2
