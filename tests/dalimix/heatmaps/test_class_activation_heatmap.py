"""`ClassActivationHeatmap`: the formula by loops, labels of all kinds, and what is no map of the image."""

import pytest
import torch
from torch import nn

from dalimix.heatmaps import ClassActivationHeatmap, FeatureHeatmap
from tests.support.backends import device_fixture
from tests.support.data.at_random import random_images

B, CHANNELS, CLASSES = 4, 6, 5


device = device_fixture("cuda")


def images(device="cpu"):
    return torch.from_numpy(random_images(B, 16, 24)).permute(0, 3, 1, 2).to(device)


class Cnn(nn.Module):
    """Features [B, C, 8, 12], their mean, and a classifier, linear or a convolution."""

    def __init__(self, convolution=False):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, CHANNELS, 2, 2), nn.BatchNorm2d(CHANNELS))
        self.classifier = nn.Conv2d(CHANNELS, CLASSES, 1) if convolution else nn.Linear(CHANNELS, CLASSES)

    def forward(self, images):
        mean = self.features(images).mean((2, 3), keepdim=True)
        return self.classifier(mean if isinstance(self.classifier, nn.Conv2d) else mean.flatten(1)).flatten(1)


def cnn(device="cpu", **options):
    torch.manual_seed(0)
    return Cnn(**options).to(device)


def provider(model, **options):
    options = {"layer": "features", "classifier": "classifier", "mean": 127.0, "std": 64.0, **options}
    return ClassActivationHeatmap(model, **options)


@torch.no_grad()
def by_hand(model, labels, batch):
    """[B, h, w], by loops over images and channels."""
    features = model.eval().features((batch.float() - 127) / 64)
    weight = model.classifier.weight.flatten(1)
    pairs = zip(labels, features, strict=True)
    return torch.stack([sum(weight[label, c] * feature[c] for c in range(CHANNELS)) for label, feature in pairs])


@pytest.mark.parametrize("convolution", [False, True])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
@pytest.mark.parametrize("shape", [(B,), (B, 1)])
def test_equals_the_formula(device, shape, dtype, convolution):
    model, labels = cnn(device, convolution=convolution), [4, 0, 3, 3]
    made = provider(model)(images(device), torch.tensor(labels, dtype=dtype, device=device).reshape(shape))
    raw = by_hand(model, labels, images(device))
    assert (made.shape, made.dtype, made.requires_grad) == ((B, 8, 12), torch.float32, False)
    assert made.is_contiguous()
    torch.testing.assert_close(made, raw.clamp(min=0), atol=1e-4, rtol=1e-4)
    assert raw.min() < 0  # so something was cut off


def test_the_mean_of_a_map_is_the_score():
    """Why it is read this way; with features and weights from 0 nothing is cut off."""
    model = cnn().eval()
    model.features.append(nn.ReLU())
    with torch.no_grad():
        model.classifier.weight.abs_()
        logits = model((images().float() - 127) / 64) - model.classifier.bias
    for label in range(CLASSES):
        made = provider(model)(images(), torch.full((B,), label))
        torch.testing.assert_close(made.mean((1, 2)), logits[:, label])


@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: (x, None), lambda x: {"loss": None, "logits": x}])
def test_without_labels_the_class_that_the_model_finds_most_likely(device, wrap):
    model = cnn(device)
    with torch.no_grad():
        likely = model.eval()((images(device).float() - 127) / 64).argmax(1)
    assert len(set(likely.tolist())) > 1
    model.register_forward_hook(lambda module, args, output: wrap(output))
    assert torch.equal(provider(model)(images(device)), provider(model)(images(device), likely))


class Tokens(nn.Module):
    """`prefix` tokens, then 4 × 4 of the image; the classifier reads their mean."""

    def __init__(self, prefix):
        super().__init__()
        self.embed, self.head = nn.Conv2d(3, CHANNELS, (4, 6), (4, 6)), nn.Linear(CHANNELS, CLASSES)
        self.prefix, self.norm = nn.Parameter(torch.randn(1, prefix, CHANNELS)), nn.Identity()

    def forward(self, images):
        tokens = self.embed(images).flatten(2).transpose(1, 2)
        tokens = self.norm(torch.cat([self.prefix.expand(len(images), -1, -1), tokens], 1))
        return self.head(tokens.mean(1))


@pytest.mark.parametrize("prefix", [0, 1, 4])
def test_tokens(prefix):
    torch.manual_seed(0)
    model, labels = Tokens(prefix), torch.tensor([1, 2, 0, 4])
    made = ClassActivationHeatmap(model, "norm", "head", grid=4)(images(), labels)
    with torch.no_grad():
        expected = torch.einsum("bchw,bc->bhw", model.embed(images().float()), model.head.weight[labels])
    torch.testing.assert_close(made, expected.relu(), atol=1e-3, rtol=1e-4)


def test_autocast_of_the_caller_is_as_that_of_the_provider():
    model, labels = cnn(), torch.tensor([4, 0, 3, 3])
    with torch.autocast("cpu", torch.bfloat16):
        around = provider(model)(images(), labels)
    assert torch.equal(around, provider(model, autocast=torch.bfloat16)(images(), labels))


def test_the_model_stays_as_it_was():
    model = cnn().train()
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    provider(model)(images(), torch.zeros(B, dtype=torch.int64))
    with pytest.raises(ValueError, match="labels must be in 0 … 4, got 5"):
        provider(model)(images(), torch.full((B,), 5))
    assert all(module.training and not module._forward_hooks for module in model.modules())
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("wrong", [-1, CLASSES])
def test_label_outside_of_the_classes(device, wrong):
    model, labels = cnn(device), torch.tensor([0, wrong, 2, 3], device=device)
    if device == "cpu":
        with pytest.raises(ValueError, match=f"labels must be in 0 … 4, got {wrong}"):
            provider(model)(images(), labels)
        return
    made = provider(model)(images(device), labels)
    assert made[1].isnan().all()
    assert not made[[0, 2, 3]].isnan().any()


@pytest.mark.cuda
def test_the_host_never_waits_for_the_gpu(gpu):
    made, batch, labels = provider(cnn("cuda"), size=32), images("cuda"), torch.zeros(B, 1, device="cuda").long()
    made(batch, labels)  # the first call loads what it needs
    torch.cuda.set_sync_debug_mode("error")
    try:
        made(batch, labels)
        made(batch)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize(("labels", "error", "message"), [
    ([0, 1, 2, 3], TypeError, "labels must be an integer tensor .4., got list"),
    (torch.zeros(B, CLASSES), TypeError, "labels must be an integer tensor .4., got torch.float32"),
    (torch.zeros(B, dtype=torch.bool), TypeError, "got torch.bool"),
    (torch.zeros(B - 1, dtype=torch.int64), ValueError, r"labels must be \[4\], one per image, got \[3\]"),
    (torch.zeros(B, 2, dtype=torch.int64), ValueError, r"labels must be \[4\], one per image, got \[4, 2\]"),
    (torch.zeros(B, dtype=torch.int64, device="meta"), ValueError, "labels must be on cpu as images are, got meta"),
])  # fmt: skip
def test_bad_labels(labels, error, message):
    with pytest.raises(error, match=message):
        provider(cnn())(images(), labels)


def test_bad_models():
    with pytest.raises(ValueError, match="no module 'classifer' in Cnn; nearest: classifier"):
        provider(cnn(), classifier="classifer")
    with pytest.raises(TypeError, match="classifier 'features.1' must be a Linear or a 1 × 1 Conv2d, got BatchNorm2d"):
        provider(cnn(), classifier="features.1")
    with pytest.raises(TypeError, match="classifier 'features.0' must be a Linear or a 1 × 1 Conv2d, got Conv2d"):
        provider(cnn(), classifier="features.0")
    narrow = cnn()
    narrow.features.insert(0, nn.Conv2d(3, 3, 1))
    with pytest.raises(ValueError, match="'classifier' reads 6 channels, but module 'features.0' gave 3: name what"):
        provider(narrow, layer="features.0")(images())
    model = cnn()
    model.register_forward_hook(lambda module, args, output: output[:, None])
    with pytest.raises(ValueError, match=r"the model must return \[4, 5\], got \[4, 1, 5\]: hand in labels"):
        provider(model)(images())


def test_images_of_another_layout_or_unit():
    with pytest.raises(ValueError, match=r"images \[4, 16, 24, 3\] look like HWC, but layout is 'CHW'"):
        provider(cnn())(images().permute(0, 2, 3, 1))
    message = r"must be in the units of the images, uint8 0 … 255, .* std is \(0.2, 0.2, 0.2\): they contradict"
    with pytest.raises(ValueError, match=message):
        provider(cnn(), std=[0.2] * 3)(images())
    provider(cnn(), mean=0.5, std=0.2)(images() / 255)


class Turned(Cnn):
    """As Swin transformers do: features [B, 8, 12, C], told by the sides of the image, 16 × 24."""

    def __init__(self):
        super().__init__()
        self.turn = nn.Identity()

    def forward(self, images):
        return self.classifier(self.turn(self.features(images).permute(0, 2, 3, 1)).mean((1, 2)))


def test_features_with_the_channels_last():
    torch.manual_seed(0)
    model = Turned()
    made = provider(model, layer="turn")(images(), torch.arange(B))
    assert torch.equal(made, provider(model)(images(), torch.arange(B)))
    mean = FeatureHeatmap(model, "turn")(images())
    assert torch.equal(mean, FeatureHeatmap(model, "features")(images()))
    assert mean.shape == (B, 8, 12)


@pytest.mark.parametrize("half", ["model", "autocast"])
def test_half_precision_of_the_model_is_not_that_of_the_map(half):
    """Weights and features are bfloat16; their products are added up in float32."""
    model = cnn().eval()
    reference = provider(model)(images(), torch.arange(B))
    model = model.to(torch.bfloat16) if half == "model" else model
    options = {"autocast": torch.bfloat16} if half == "autocast" else {}
    made = provider(model, **options)(images(), torch.arange(B))
    assert made.dtype == torch.float32
    torch.testing.assert_close(made, reference, atol=0.05, rtol=0.05)
    mean = FeatureHeatmap(model, "features", mean=127.0, std=64.0, **options)(images())
    for heatmaps in (made, mean):
        assert not torch.equal(heatmaps, heatmaps.bfloat16().float())
