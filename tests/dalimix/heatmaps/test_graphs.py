"""Where torch makes a graph or transforms a function, mixing says that it cannot be part of it; accuracy can."""

import pytest
import torch
from torch import nn
from torch.fx.experimental.proxy_tensor import make_fx

from dalimix import Mixup, SMMix
from dalimix.heatmaps import AttentionHeatmap, FeatureHeatmap, SnapshotHeatmap
from dalimix.torch import BatchMixer, SMMixStep, soft_target_accuracy
from tests.support.models.vits import SIDE, Small

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:torch.jit", "ignore::torch.jit.TracerWarning")
B, LAYER = 4, "layers.layers.1.self_attn"
IMAGES = torch.rand(B, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(B)


class Whole(nn.Module):
    def __init__(self, function, model=None):
        super().__init__()
        self.function, self.model = function, model

    def forward(self, images):
        return self.function(images)


def in_fake_mode(function, given):
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode() as mode:
        return function(mode.from_tensor(given))


def out_of_fake_mode(function, given):
    from torch._subclasses.fake_tensor import FakeTensorMode

    return function(FakeTensorMode().from_tensor(given))


GRAPHS = {
    "vmap": lambda function, given: torch.func.vmap(function)(given[None]),
    "FakeTensorMode": in_fake_mode,
    "a fake tensor": out_of_fake_mode,
    "make_fx": lambda function, given: make_fx(function)(given),
    "make_fx by fake tensors": lambda function, given: make_fx(function, tracing_mode="fake")(given),
    "export": lambda function, given: torch.export.export(Whole(function), (given,), strict=False),
    "trace": lambda function, given: torch.jit.trace(Whole(function), (given,)),
}
TRANSFORMS = {
    "functionalize": lambda function, given: torch.func.functionalize(function)(given),
    "grad": lambda function, given: torch.func.grad(lambda images: function(images).sum())(given),
    "jvp": lambda function, given: torch.func.jvp(function, (given,), (given,)),
    "vmap of something else": lambda function, given: torch.func.vmap(lambda n: function(given) * n)(torch.ones(2)),
}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return Small()


@pytest.fixture(scope="module")
def provider(model):
    return AttentionHeatmap(model, LAYER)


@pytest.mark.parametrize("way", [*GRAPHS, *TRANSFORMS])
def test_a_mixer_is_no_part_of_it(way):
    mixer = BatchMixer(Mixup(prob=0.0), B)
    with pytest.raises(TypeError, match=r"images are in .*, but mixing cannot be part of a graph or of a transform"):
        (GRAPHS | TRANSFORMS)[way](lambda images: mixer(images, LABELS)[0], IMAGES)


def test_labels_and_heatmaps_are_no_part_of_it_either():
    mixer = BatchMixer(SMMix(grid=8), B)
    with pytest.raises(TypeError, match="labels are in a graph"):
        out_of_fake_mode(lambda labels: mixer(IMAGES, labels), LABELS)
    with pytest.raises(TypeError, match="heatmaps are in a graph"):
        out_of_fake_mode(lambda maps: mixer(IMAGES, LABELS, maps), torch.rand(B, 8, 8))


@pytest.mark.parametrize("way", GRAPHS)
@pytest.mark.parametrize("kind", ["provider", "snapshot", "step"])
def test_what_runs_a_model_is_no_part_of_a_graph(provider, kind, way):
    """A traced one gave the heatmaps of the images that it was traced with."""
    step = SMMixStep(provider, 5, SMMix(grid=8))
    look = {"provider": provider, "snapshot": SnapshotHeatmap(provider), "step": lambda images: step(images, LABELS)}
    with pytest.raises(TypeError, match="images are in a .*, but .* cannot be part of a graph or of a transform"):
        GRAPHS[way](look[kind], IMAGES)


@pytest.mark.parametrize("way", ["functionalize", "grad", "jvp"])
def test_a_provider_may_be_in_a_transform(provider, way):
    result = TRANSFORMS[way](provider, IMAGES)
    if way == "grad":
        assert not result.any()
    else:
        assert torch.equal(result[0] if way == "jvp" else result, provider(IMAGES))


@pytest.mark.parametrize("kind", ["strided", "jagged"])
def test_nested_tensors(provider, kind):
    nested = torch.nested.nested_tensor(list(IMAGES), layout=getattr(torch, kind))
    for look in (provider, lambda images: BatchMixer(Mixup(), B)(images, LABELS)):
        with pytest.raises(TypeError, match=r"got a nested tensor: hand in torch.stack\(images.unbind\(\)\)"):
            look(nested)
    with pytest.raises(TypeError, match="outputs must be floating .*, got a nested tensor"):
        soft_target_accuracy(nested, LABELS)
    with pytest.raises(TypeError, match="labels must be .*, got a nested tensor"):
        BatchMixer(Mixup(), B)(IMAGES, torch.nested.nested_tensor([row[None] for row in LABELS]))


OUTPUTS = torch.randn(2, B, 5, generator=torch.Generator().manual_seed(0))


def accuracy(outputs, labels=LABELS):
    return soft_target_accuracy(outputs, labels)


def test_accuracy_of_class_indices_in_vmap():
    labels = torch.stack([LABELS, torch.tensor([0, 1, 2, 5])])  # the last one is no class
    found = torch.func.vmap(accuracy)(OUTPUTS, labels)
    assert found[0] == accuracy(OUTPUTS[0])
    assert found[1].isnan()
    assert torch.equal(torch.func.vmap(accuracy)(OUTPUTS, labels[[0, 0]]), torch.stack([*map(accuracy, OUTPUTS)]))


@pytest.mark.parametrize("way", ["export", "strict export", "trace"])
def test_accuracy_of_class_indices_in_a_graph(way):
    made = {
        "export": lambda: torch.export.export(Pair(), (OUTPUTS[0], LABELS), strict=False).module(),
        "strict export": lambda: torch.export.export(Pair(), (OUTPUTS[0], LABELS), strict=True).module(),
        "trace": lambda: torch.jit.trace(accuracy, (OUTPUTS[0], LABELS)),
    }[way]()
    assert made(OUTPUTS[1], LABELS.flip(0)) == accuracy(OUTPUTS[1], LABELS.flip(0))


class Pair(nn.Module):
    def forward(self, outputs, labels):
        return accuracy(outputs, labels)


def scripted():
    return torch.jit.script(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.ReLU()))


@pytest.mark.parametrize("layer", ["", "1"])
@pytest.mark.parametrize("kind", ["script", "trace"])
def test_models_of_torch_jit_cannot_be_watched(kind, layer):
    eager = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.ReLU())
    made = scripted() if kind == "script" else torch.jit.trace(eager, (IMAGES,))
    with pytest.raises(TypeError, match="model is of torch.jit.script or torch.jit.trace, .* hand in the eager model"):
        FeatureHeatmap(made, layer)


def test_scripted_modules_of_an_eager_model():
    model = torch.nn.Sequential(scripted(), torch.nn.ReLU())
    with pytest.raises(TypeError, match="module '0' is of torch.jit.script"):
        FeatureHeatmap(model, "0")
    with pytest.raises(TypeError, match=r"module '0\.1' is of torch.jit.script"):
        FeatureHeatmap(model, "0.1")
    assert FeatureHeatmap(model, "1")(IMAGES).shape == (B, SIDE, SIDE)


def test_an_exported_model_runs_none_of_its_modules(model):
    exported = torch.export.export(model.eval(), (IMAGES,)).module()
    with pytest.raises(ValueError, match="did not run .* hand in the eager one"):
        FeatureHeatmap(exported, "layers")(IMAGES)
