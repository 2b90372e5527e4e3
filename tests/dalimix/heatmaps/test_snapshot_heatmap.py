"""SnapshotHeatmap: copies of the model under training, and that the model is left as it was."""

import threading

import numpy as np
import pytest
import torch
from torch import nn

from dalimix.heatmaps import AttentionHeatmap, ClassActivationHeatmap, FeatureHeatmap, SnapshotHeatmap, frozen_copy
from tests.support.models.versions import IMAGES, Versions, a_snapshot, version
from tests.support.models.vits import vit


@pytest.mark.parametrize("every", [1, 3])
def test_heatmaps_change_at_every_so_manieth_step(every):
    model = Versions(pause=0)
    snapshot = a_snapshot(model, every=every)
    for number in range(1, 8):
        model.train_to(number)
        snapshot.step()
        assert version(snapshot) == number // every * every
    snapshot.refresh()
    assert version(snapshot) == 7


def test_steps_are_counted_beyond_numpys_small_numbers():
    snapshot = a_snapshot(Versions(pause=0), every=np.uint8(200))
    for _ in range(300):
        snapshot.step()


def test_equals_the_provider_of_the_trained_model():
    model = vit().train()
    provider = AttentionHeatmap(model, "blocks.1", mean=120.0, std=60.0)
    snapshot, optimizer = SnapshotHeatmap(provider), torch.optim.SGD(model.parameters(), 1e-3)
    before = snapshot(IMAGES)
    for _ in range(3):
        model(IMAGES / 255).square().sum().backward()
        optimizer.step()
        snapshot.step()
    heatmaps, output = snapshot.observe(IMAGES)
    expected = provider.observe(IMAGES)
    assert torch.equal(heatmaps, expected[0])
    assert torch.equal(output, expected[1])
    assert not torch.equal(heatmaps, before)


def test_labels_reach_the_provider():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 8, 8), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))
    provider = ClassActivationHeatmap(model, "0", "3")
    snapshot = SnapshotHeatmap(provider)
    for labels in torch.tensor([0, 1, 2, 3]), torch.tensor([3, 2, 1, 0]):
        expected = provider(IMAGES, labels)
        assert not torch.equal(expected, provider(IMAGES))
        assert torch.equal(snapshot(IMAGES, labels), expected)
        assert torch.equal(snapshot.observe(IMAGES, labels)[0], expected)


def a_cnn():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout())


def test_statistics_of_normalisations_are_copied_and_not_changed():
    model = a_cnn().train()
    snapshot = SnapshotHeatmap(FeatureHeatmap(model, "2"))
    before = snapshot(IMAGES)
    model(IMAGES)
    statistics = model[1].running_mean.clone()
    assert torch.equal(snapshot(IMAGES), before)
    snapshot.refresh()
    assert not torch.equal(snapshot(IMAGES), before)
    assert torch.equal(snapshot(IMAGES), FeatureHeatmap(model, "2")(IMAGES))
    assert torch.equal(model[1].running_mean, statistics)


def test_the_model_is_left_as_it_was_and_its_hooks_do_not_fire():
    model, fired = a_cnn().train(), []
    model[1].eval()
    model[0].bias.requires_grad_(False)
    for module in model:
        module.register_forward_hook(lambda *_: fired.append("forward"), always_call=True)
        module.register_forward_pre_hook(lambda *_: fired.append("before"), with_kwargs=False)
        module.register_full_backward_hook(lambda *_: fired.append("backward"))
        module.register_full_backward_pre_hook(lambda *_: fired.append("before backward"))
    model[0].weight.grad = gradient = torch.ones_like(model[0].weight)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    random = torch.get_rng_state()
    snapshot = SnapshotHeatmap(FeatureHeatmap(model, "2"))
    for _ in range(2):
        snapshot(IMAGES)
        snapshot.step()
    assert fired == []
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert [module.training for module in model] == [True, False, True, True]
    assert [parameter.requires_grad for parameter in model.parameters()] == [True, False, True, True]
    assert model[0].weight.grad is gradient
    assert torch.equal(gradient, torch.ones_like(gradient))
    assert [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model] == [2] * 4
    model(IMAGES)
    assert len(fired) == 8


@pytest.mark.parametrize("refreshes", [0, 2])
def test_the_copies_have_no_gradients_and_are_in_eval_mode(refreshes):
    """Nor a graph: refreshing could write one into them, which would keep every step's alive."""
    model = a_cnn().train()
    snapshot = SnapshotHeatmap(FeatureHeatmap(model, "2"))
    for _ in range(refreshes):
        snapshot.refresh()
    for copy in (snapshot._current, snapshot._other):
        inner = copy._provider.model
        assert not any(module.training for module in inner.modules())
        assert not any(tensor.requires_grad or tensor.grad_fn for tensor in frozen_copy.tensors_of(inner).values())
    own = [set(map(id, copy._own.values())) for copy in (snapshot._current, snapshot._other)]
    assert not own[0] & own[1]
    assert not own[0] & set(map(id, model.parameters()))


class Merging(nn.Sequential):
    """Its eval mode is more than a mode, as where adapters are merged into the weights."""

    def train(self, mode=True):
        if not mode:
            self[0].weight.data.mul_(2)
        return super().train(mode)


def test_a_model_whose_eval_mode_does_more():
    torch.manual_seed(0)
    provider = FeatureHeatmap(Merging(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU()), "1")
    assert torch.equal(SnapshotHeatmap(provider)(IMAGES), provider(IMAGES))


class Trainer:
    """What a hook may be bound to: nothing that can be copied."""

    def __init__(self):
        self.lock, self.seen = threading.Lock(), 0

    def __call__(self, *_):
        self.seen += 1

    def watch(self, *_):
        self.seen += 1


def test_what_a_hook_belongs_to_is_not_copied():
    model, trainer = a_cnn(), Trainer()
    model[0].register_forward_hook(trainer)
    model[0].register_forward_hook(trainer.watch)
    SnapshotHeatmap(FeatureHeatmap(model, "2"))(IMAGES)
    assert trainer.seen == 0


@pytest.mark.parametrize("kind", ["hook", "parametrization"])
def test_torchs_own_hooks_and_parametrizations_work_in_the_copies(kind):
    """The old spectral_norm is a hook, which makes the weight of others, and keeps it with its graph."""
    norm = {"hook": nn.utils.spectral_norm, "parametrization": nn.utils.parametrizations.spectral_norm}[kind]
    model = nn.Sequential(norm(nn.Conv2d(3, 8, 3, 2, 1)), nn.ReLU()).train()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    model(IMAGES).sum().backward()
    snapshot = SnapshotHeatmap(FeatureHeatmap(model, "1"))
    before = snapshot(IMAGES)
    model(IMAGES).sum().backward()
    optimizer.step()
    snapshot.step()
    assert not torch.equal(snapshot(IMAGES), before)
    assert torch.equal(snapshot(IMAGES), FeatureHeatmap(model, "1")(IMAGES))


def test_tied_weights():
    model = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1))
    model[1].weight = model[0].weight
    snapshot = SnapshotHeatmap(FeatureHeatmap(model, "1"))
    model[0].weight.data.mul_(2)
    snapshot.refresh()
    assert torch.equal(snapshot(IMAGES), FeatureHeatmap(model, "1")(IMAGES))
