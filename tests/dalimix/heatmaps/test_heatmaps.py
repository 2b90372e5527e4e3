"""What all providers share, and `FeatureHeatmap`: one watched layer, and a model that stays as it was."""

import copy
import warnings
from collections import OrderedDict

import pytest
import torch
from torch import nn

from dalimix.heatmaps import FeatureHeatmap
from tests.support.backends import need_gpu
from tests.support.data.at_random import random_images

MEAN, STD = [120.0, 115.0, 100.0], [58.0, 57.0, 56.0]
B, H, W = 3, 16, 24


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def device(request, monkeypatch):
    if request.param == "cuda":
        need_gpu(request)
        monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    return request.param


def images(device="cpu", height=H, width=W):
    """uint8 [B, C, H, W], a view of a batch [B, H, W, C]."""
    return torch.from_numpy(random_images(B, height, width)).permute(0, 3, 1, 2).to(device)


def cnn():
    """In train mode, as made; `act` runs in place on what `bn` gives, and twice."""
    torch.manual_seed(0)
    act = nn.ReLU(inplace=True)
    layers = [("stem", nn.Conv2d(3, 8, 3, 2, 1)), ("bn", nn.BatchNorm2d(8)), ("act", act)]
    layers += [("last", nn.Conv2d(8, 5, 3, 2, 1)), ("act2", act), ("pool", nn.AdaptiveAvgPool2d(1))]
    return nn.Sequential(OrderedDict([*layers, ("flat", nn.Flatten()), ("fc", nn.Linear(5, 4))]))


class Gives(nn.Module):
    """Returns, whatever it reads, `value`."""

    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, images):
        return self.value


def given(value, **options):
    """The heatmaps of square images, from a layer that gives `value`."""
    return FeatureHeatmap(nn.Sequential(Gives(value)), "0", **options)(images(height=16, width=16))


def hooks(model):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def test_mean_over_the_channels(device):
    model = cnn().to(device)
    made = FeatureHeatmap(model, "last", mean=MEAN, std=STD)(images(device))
    constant = torch.tensor([MEAN, STD], device=device)[:, None, :, None, None]
    normal = (images(device).float() - constant[0]) / constant[1]
    with torch.no_grad():
        expected = model.eval()[:4](normal).mean(1)
    assert (made.shape, made.dtype, made.device.type) == ((B, 4, 6), torch.float32, device)
    torch.testing.assert_close(made, expected, atol=1e-4, rtol=1e-4)


def test_what_follows_in_place_changes_nothing():
    model = cnn().eval()
    made = FeatureHeatmap(model, "bn")(images())
    with torch.no_grad():
        torch.testing.assert_close(made, model[:2](images().float()).mean(1))
    assert made.min() < 0  # the ReLU after it worked in place


def test_a_module_that_runs_twice_counts_the_last_time():
    model = cnn().eval()
    with torch.no_grad():
        expected = model[:5](images().float()).mean(1)
    for name in ("act", "act2"):  # two names of one module
        torch.testing.assert_close(FeatureHeatmap(model, name)(images()), expected)


@pytest.mark.parametrize("prefix", [0, 1, 3])
@pytest.mark.parametrize(("grid", "shape"), [(None, (4, 4)), (4, (4, 4)), ((2, 8), (2, 8))])
def test_tokens(prefix, grid, shape):
    tokens = torch.randn(B, prefix + 16, 7)
    made = given(tokens, grid=grid)
    assert torch.allclose(made, tokens[:, prefix:].mean(2).reshape(B, *shape))


def test_more_tokens_before_the_image_need_a_grid():
    tokens = torch.randn(B, 9 + 16, 7)  # 25 is a square itself
    assert given(tokens).shape == (B, 5, 5)
    assert torch.allclose(given(tokens, grid=4), tokens[:, 9:].mean(2).reshape(B, 4, 4))
    for count in (7, 12, 24, 90):  # 90 are 81 and 9
        message = rf"module '0' has {count} tokens, which are no square: give the provider grid="
        with pytest.raises(ValueError, match=message):
            given(torch.randn(B, count, 7))
    message = r"module '0' has 16 tokens for images of 16 × 24 pixels: give the provider grid="
    with pytest.raises(ValueError, match=message):
        FeatureHeatmap(nn.Sequential(Gives(torch.randn(B, 16, 7))), "0")(images())


@pytest.mark.parametrize("wrap", [lambda x: (x, None), lambda x: [None, x, -x], lambda x: {"loss": None, "x": x}])
def test_the_first_tensor_counts(wrap):
    value = torch.randn(B, 5, 2, 3).transpose(2, 3)
    assert torch.allclose(made := given(wrap(value)), value.mean(1))
    assert made.is_contiguous()


def identity(**options):
    """A provider that hands out what the model reads, as the mean over the channels."""
    return FeatureHeatmap(nn.Sequential(nn.Identity()), "0", **options)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float16, torch.float32, torch.float64])
def test_normalise(dtype):
    made = identity(mean=MEAN, std=STD)(images().to(dtype))
    expected = (images().double() - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    torch.testing.assert_close(made, expected.mean(1).float())
    one = identity(mean=127.0, std=128.0)(images().to(dtype))
    torch.testing.assert_close(one, ((images().double() - 127) / 128).mean(1).float())


@pytest.mark.parametrize(("size", "shape"), [(8, (8, 8)), ((12, 20), (12, 20)), ((H, W), (H, W))])
def test_resize(size, shape):
    made = identity(size=size, std=2.0)(images())
    expected = nn.functional.interpolate(images().float(), shape, mode="bilinear", antialias=True) / 2
    torch.testing.assert_close(made, expected.mean(1))


def test_any_strides_give_the_same():
    provider = FeatureHeatmap(cnn(), "last", size=20)
    assert torch.equal(provider(images()), provider(images().contiguous()))
    assert torch.equal(provider(images().float()), provider(images()))


def test_images_stay_as_they_are():
    kept = images().float().contiguous() - 128
    FeatureHeatmap(nn.Sequential(nn.ReLU(inplace=True)), "0")(read := kept.clone())
    assert torch.equal(read, kept)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_images_come_in_the_dtype_of_the_model(dtype):
    model, read = nn.Sequential(nn.Conv2d(3, 2, 1)).to(dtype), []
    model[0].register_forward_pre_hook(lambda module, args: read.append(args[0].dtype))
    assert FeatureHeatmap(model, "0")(images()).dtype == torch.float32
    assert read == [dtype]


def autocast_seen(provider):
    """The dtype of the last layer's output, and whether weights were cached."""
    seen = []
    provider.model.fc.register_forward_hook(
        lambda module, args, output: seen.extend([output.dtype, torch.is_autocast_cache_enabled()])
    )
    assert provider(images()).dtype == torch.float32
    return seen[-2:]


def test_autocast_of_the_provider_and_of_the_caller():
    model = cnn()
    assert autocast_seen(FeatureHeatmap(model, "last")) == [torch.float32, False]
    assert autocast_seen(FeatureHeatmap(model, "last", autocast=torch.bfloat16)) == [torch.bfloat16, False]
    with torch.autocast("cpu", torch.bfloat16):
        assert autocast_seen(FeatureHeatmap(model, "last")) == [torch.bfloat16, False]
    for name in ("bfloat16", "bf16", "torch.bfloat16"):
        assert autocast_seen(FeatureHeatmap(model, "last", autocast=name)) == [torch.bfloat16, False]
        assert torch.is_autocast_cache_enabled()
        model(images().float()).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


class Fails(nn.Module):
    def forward(self, x):
        raise KeyError("of the model itself")


def call(model, layer="bn"):
    FeatureHeatmap(model, layer)(images())


def fail(model):
    model.fails = Fails()
    with pytest.raises(KeyError, match="of the model itself"):
        call(model)
    del model.fails


def never_run(model):
    model.stem.unused = nn.Identity()
    with pytest.raises(ValueError, match=r"module 'stem.unused' did not run when the model read the images"):
        call(model, "stem.unused")


@pytest.mark.parametrize("use", [call, fail, never_run])
@pytest.mark.parametrize("training", [("",), ("bn", "fc"), ()], ids=str)
def test_the_model_stays_as_it_was(use, training):
    model = cnn().eval()
    for name in training:
        model.get_submodule(name).training = True
    state, modes = copy.deepcopy(model.state_dict()), [module.training for module in model]
    use(model)
    assert [module.training for module in model] == modes
    assert model.training == ("" in training)
    assert hooks(model) == 0
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())


def test_no_gradient_and_eval_mode_inside():
    model, seen = cnn().train(), []
    for module in model:
        module.register_forward_pre_hook(lambda module, _: seen.append((module.training, torch.is_grad_enabled())))
    made = FeatureHeatmap(model, "last")(images().float().requires_grad_())
    assert set(seen) == {(False, False)}
    assert not made.requires_grad


def test_a_model_with_a_train_method_of_its_own():
    class Merges(nn.Sequential):
        def train(self, mode=True):
            raise AssertionError("changes more than the mode")

    assert FeatureHeatmap(Merges(nn.Conv2d(3, 2, 1)), "0")(images()).shape == (B, H, W)


@pytest.mark.parametrize(
    ("name", "near"), [("lasd", "last"), ("atc2", "act2"), ("q", "stem, bn, act, last, pool, flat, fc")]
)
def test_wrong_name(name, near):
    with pytest.raises(ValueError, match=f"there is no module '{name}' in Sequential; nearest: {near}$"):
        FeatureHeatmap(cnn(), name)


def test_bytes_without_mean_and_std_are_a_warning_once():
    plain, said = FeatureHeatmap(cnn(), "last"), "images are uint8 0 … 255, but the provider has no mean and std"
    with pytest.warns(UserWarning, match=said):
        plain(images())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plain(images())
        FeatureHeatmap(cnn(), "last")(images().float())
        FeatureHeatmap(cnn(), "last", mean=0, std=1)(images())


@pytest.mark.parametrize(("options", "error", "message"), [
    ({"layer": 3}, TypeError, "layer must be a name as in model.named_modules.*got 3"),
    ({"model": "resnet"}, TypeError, "model must be a torch.nn.Module, got str"),
    ({"size": 0}, ValueError, r"size must be one whole number from 1, or two .*, got 0"),
    ({"size": (8, 8, 8)}, ValueError, r"size must be .* got \(8, 8, 8\)"),
    ({"grid": 7.5}, ValueError, r"grid must be .* got 7.5"),
    ({"autocast": torch.float32}, ValueError, "autocast must be torch.float16, .*, got torch.float32"),
    ({"std": 0}, ValueError, r"std must be finite and above 0, got \(0.0,\)"),
    ({"std": [1, 1, -1.0]}, ValueError, "std must be finite and above 0"),
    ({"mean": [1.0, 2.0], "std": [1.0, 2.0, 3.0]}, ValueError,
     "mean and std must be for as many channels, got 2 and 3"),
    ({"mean": "grey"}, TypeError, "mean must be one number, or one per channel, got 'grey'"),
])  # fmt: skip
def test_bad_arguments(options, error, message):
    with pytest.raises(error, match=message):
        FeatureHeatmap(**{"model": cnn(), "layer": "last", **options})


def test_bad_images():
    provider = FeatureHeatmap(cnn(), "last", mean=[1.0, 2.0])
    with pytest.raises(TypeError, match="images must be a tensor, got numpy.ndarray"):
        provider(images().numpy())
    with pytest.raises(TypeError, match="images must be uint8 or floating, got torch.int64"):
        provider(images().long())
    with pytest.raises(TypeError, match=r"got torch.float8_e5m2: hand in images.float\(\)"):
        provider(images().to(torch.float8_e5m2))
    for wrong in (images()[0], images()[:0]):
        with pytest.raises(ValueError, match=r"images must be a batch \[B, C, H, W\], got shape"):
            provider(wrong)
    with pytest.raises(ValueError, match="mean has 2 entries but images has 3 channels"):
        provider(images())
    with pytest.raises(ValueError, match=r"the model is on cpu but the images are on meta: .* model.to\('meta'\)"):
        provider(images().to("meta"))


@pytest.mark.parametrize(("value", "message"), [
    (torch.zeros(B, 5), r"module '0' must give \[B, C, h, w\] or tokens \[B, N, C\], got \[3, 5\]"),
    (torch.zeros(B, 0, 5), r"must give .* got \[3, 0, 5\]"),
    ("text", "must give .* got str"),
    ((None,), "must give .* got tuple"),
    (torch.zeros(B + 1, 5, 2, 2), r"module '0' gave \[4, 5, 2, 2\], but images has batch size 3"),
    (torch.zeros(16, B, 5), "but images has batch size 3"),
])  # fmt: skip
def test_bad_layer(value, message):
    with pytest.raises(ValueError, match=message):
        given(value)


def test_grid_that_does_not_fit():
    with pytest.raises(ValueError, match=r"grid is \(4, 4\), but module '0' gave a feature map \[3, 5, 2, 2\]"):
        given(torch.zeros(B, 5, 2, 2), grid=4)
    for grid, cells in (((3, 6), 18), ((2, 3), 6)):  # more than there are; so few that most would be left out
        with pytest.raises(ValueError, match=rf"module '0' has 17 tokens, but grid is \({grid[0]}, .*has {cells}"):
            given(torch.zeros(B, 17, 5), grid=grid)
