"""dali_ops.cli.model: from the words of a command line to a provider of heatmaps."""

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from dali_ops.cli.model import HeatmapModel, provider_from
from dalimix.heatmaps import AttentionHeatmap, ClassActivationHeatmap, FeatureHeatmap
from tests.support.models.modules import modules_here
from tests.support.models.small import cnn, transformer

CODE = """
import torch
from dalimix.heatmaps import FeatureHeatmap
from tests.support.models.small import cnn, transformer

provider = FeatureHeatmap(cnn(), "1", size=(24, 40))

def teacher(): return provider
def function(): return brightness
def brightness(images, labels=None): return images.float().mean(1) + (0 if labels is None else labels.view(-1, 1, 1))
def nothing(): return None
def fails(): raise RuntimeError("no weights")
def inner(): return brightness()
def wants(images): return images
def flat(): return lambda images: images.float().mean((1, 2))
def listing(): return lambda images: [images]
number = 3
"""


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module in the current directory, and only there; and no timm."""
    modules_here(tmp_path, monkeypatch, my_models=CODE, broken="import no_such_package", misspelt="def f(:")
    monkeypatch.setitem(sys.modules, "timm", None)


def images(side: int = 32, batch: int = 3) -> Any:
    return torch.randint(0, 256, (batch, 3, side, side), dtype=torch.uint8, generator=torch.manual_seed(1))


def equal(got: HeatmapModel, expected: Any, *labels: Any) -> bool:
    return torch.equal(got.provider(images(), *labels), expected(images(), *labels))


def test_feature_heatmaps_of_a_module() -> None:
    got = provider_from("my_models:cnn", "feature", "1", mean=[100, 110, 120], std=[50], input_size=32)
    assert type(got.provider) is FeatureHeatmap
    assert equal(got, FeatureHeatmap(cnn(), "1", mean=[100, 110, 120], std=50))
    assert not equal(got, FeatureHeatmap(cnn(), "1", mean=[100, 110, 120], std=51))
    assert not any(inner.training for inner in got.provider.model.modules())
    assert got.size == 32
    assert equal(provider_from("my_models:cnn", "feature", "1"), FeatureHeatmap(cnn(), "1"))


def test_one_mean_of_zero() -> None:
    got = provider_from("my_models:cnn", "feature", "1", mean=[0.0], std=[2.0])
    assert equal(got, FeatureHeatmap(cnn(), "1", mean=0, std=2))
    assert "mean=(0.0,), std=(2.0,)" in got.text


def test_attention_of_a_module() -> None:
    got = provider_from("my_models:transformer", "attention", "3.attn", std=[255.0], input_size=32)
    assert type(got.provider) is AttentionHeatmap
    assert equal(got, AttentionHeatmap(transformer(), "3.attn", std=255))


@pytest.mark.parametrize("labelled", [False, True])
def test_class_activation_of_a_module(labelled: bool) -> None:
    got = provider_from("my_models:cnn", "class-activation", "1", classifier="4", std=[255.0], labelled=labelled)
    labels = [torch.tensor([4, 0, 2])] if labelled else []
    assert type(got.provider) is ClassActivationHeatmap
    assert equal(got, ClassActivationHeatmap(cnn(), "1", "4", std=255), *labels)


def test_a_provider_is_used_as_it_is() -> None:
    got = provider_from("my_models:teacher")
    module = sys.modules["my_models"]
    assert got.provider is module.provider
    assert got.size == 40
    assert provider_from("my_models:teacher", input_size=48).size == 48
    function = provider_from("my_models:function", labelled=True)
    assert function.provider is module.brightness
    assert function.size == 224


def test_the_current_directory_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "my_models.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path / "elsewhere")
    provider_from("my_models:teacher")
    provider_from("my_models:teacher")
    assert sys.path.count(str(tmp_path)) == 1


def test_text_tells_models_apart() -> None:
    feature: dict[str, Any] = {"spec": "my_models:cnn", "kind": "feature", "layer": "1", "mean": [1.0], "std": [2.0]}
    classes = {**feature, "kind": "class-activation", "classifier": "4"}
    ways = [feature, {**feature, "layer": "0"}, {**feature, "mean": [2.0]}, {**feature, "std": [2.5]}, classes]
    ways += [{**feature, "std": [2.0, 2.0, 3.0]}, {**feature, "mean": None}, {**classes, "labelled": True}]
    ways += [{**feature, "input_size": 64}, {"spec": "my_models:teacher"}, {"spec": "my_models:function"}]
    texts = [provider_from(**way).text for way in ways]
    assert len(set(texts)) == len(ways)
    assert texts[0] == "my_models:cnn, FeatureHeatmap(layer='1', mean=(1.0,), std=(2.0,)), images 224 × 224"
    assert texts[-2] == "my_models:teacher, FeatureHeatmap(layer='1', size=(24, 40)), images 40 × 40"
    assert texts[-1] == "my_models:function, images 224 × 224"
    assert texts[7].endswith("classifier='4', mean=(1.0,), std=(2.0,)), images 224 × 224, for their classes")
    assert texts == [provider_from(**way).text for way in ways]


def timm(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A module of that name; the models that were asked for."""
    asked: list[Any] = []

    def create_model(name: str, pretrained: bool = False) -> Any:
        asked.append((name, pretrained))
        if name != "resnet1":
            raise RuntimeError(f"Unknown model ({name})")
        return cnn()

    def resolve_data_config(args: dict[str, Any], model: Any) -> dict[str, Any]:
        assert args == {}
        assert isinstance(model, torch.nn.Sequential)
        mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
        return {"input_size": (3, 32, 32), "mean": mean, "std": std, "crop_pct": 0.9, "interpolation": "bicubic"}

    stub, data = ModuleType("timm"), ModuleType("timm.data")
    stub.create_model, data.resolve_data_config = create_model, resolve_data_config  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "timm", stub)
    monkeypatch.setitem(sys.modules, "timm.data", data)
    return asked


def test_a_model_of_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = timm(monkeypatch)
    got = provider_from("resnet1", "feature", "1")
    assert asked == [("resnet1", True)]
    assert equal(got, FeatureHeatmap(cnn(), "1", mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]))
    assert got.size == 32
    scaling = "mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375)"
    assert got.text == f"resnet1, FeatureHeatmap(layer='1', {scaling}), images 32 × 32"
    other = provider_from("resnet1", "feature", "1", mean=[0.0], input_size=64)
    assert equal(other, FeatureHeatmap(cnn(), "1", mean=0.0, std=[58.395, 57.12, 57.375]))
    assert other.size == 64
    with pytest.raises(ValueError, match=r"--model resnet2: timm: RuntimeError: Unknown model \(resnet2\)"):
        provider_from("resnet2", "feature", "1")


def test_without_timm() -> None:
    message = r"--model resnet1 is looked for in timm, but: .*timm.*; pip install timm, or give module:function"
    with pytest.raises(ModuleNotFoundError, match=message):
        provider_from("resnet1", "feature", "1")


@pytest.mark.parametrize(("spec", "message"), [
    ("no_such_module:f", "ModuleNotFoundError: No module named 'no_such_module'"),
    ("broken:f", "ModuleNotFoundError: No module named 'no_such_package'"),
    ("misspelt:f", "SyntaxError: .*misspelt.py, line 1"),
    ("my_models.py:teacher", "ModuleNotFoundError: No module named 'my_models.py'"),
    ("my_models:no_such_function", "AttributeError: module 'my_models' has no attribute 'no_such_function'"),
    ("my_models:", "AttributeError: module 'my_models' has no attribute ''"),
    (":teacher", "ValueError: Empty module name"),
    ("my_models:number", "TypeError: 'int' object is not callable; number is called without arguments, and"),
    ("my_models:fails", "RuntimeError: no weights$"),
    (
        "my_models:wants",
        r"TypeError: wants\(\) missing 1 required positional argument: 'images'; wants is called without "
        "arguments, and must return an nn.Module or a provider$",
    ),
    ("my_models:inner", r"TypeError: brightness\(\) missing .*; inner is called without arguments, and must return"),
    ("my_models:flat", r"a heatmap of one image must be a tensor \[1, h, w\], got \[1, 224\]"),
    ("my_models:listing", r"a heatmap of one image must be a tensor \[1, h, w\], got list"),
])  # fmt: skip
def test_a_wrong_spec(spec: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"--model {spec}: ") + message):
        provider_from(spec)


def test_a_function_that_returns_something_else() -> None:
    message = (
        "--model my_models:nothing: a torch.nn.Module or a provider of heatmaps was expected from the function, got"
    )
    with pytest.raises(TypeError, match=f"{message} NoneType"):
        provider_from("my_models:nothing")


@pytest.mark.parametrize(("said", "message"), [
    ({"layer": "1"},
     "^--kind is missing: Sequential is an nn.Module; give one of feature, attention, class-activation$"),
    ({"kind": "saliency", "layer": "1"},
     "^--kind must be one of feature, attention, class-activation, got saliency$"),
    ({"kind": "feature"}, "--layer is missing: the name of a module of Sequential, which has 0, 1, 2, 3, 4"),
    ({"kind": "feature", "layer": "11"}, "no module '11' in Sequential; nearest: 1"),
    ({"kind": "class-activation", "layer": "1"},
     "--classifier and --kind class-activation go together, got None and"),
    ({"kind": "feature", "layer": "1", "classifier": "4"}, "go together, got 4 and feature"),
    ({"kind": "feature", "layer": "1", "labelled": True},
     "--labels is for heatmaps of a class, but FeatureHeatmap"),
    ({"kind": "feature", "layer": "1", "std": [0.5]}, "no heatmap of an image: ValueError: .* both by 255"),
    ({"kind": "feature", "layer": "1", "std": [1.0, 2.0]}, "no heatmap of an image: ValueError: std"),
    ({"kind": "feature", "layer": "4"}, "--model my_models:cnn: no heatmap of an image: ValueError: module '4'"),
    ({"kind": "attention", "layer": "1"}, "no heatmap of an image: ValueError: module '1' computed no attention"),
])  # fmt: skip
def test_what_does_not_fit_a_module(said: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        provider_from("my_models:cnn", **said)


@pytest.mark.parametrize(
    "option", [{"kind": "feature"}, {"layer": "1"}, {"classifier": "4"}, {"mean": [0]}, {"std": [1]}]
)
def test_what_is_not_read_is_refused(option: dict[str, Any]) -> None:
    (name,) = option
    message = f"--model my_models:teacher made a provider, which is used as it is: leave out --{name}$"
    with pytest.raises(ValueError, match=message):
        provider_from("my_models:teacher", **option)


def test_gpu_that_torch_does_not_see(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="device='gpu', but there is no CUDA device that torch can use"):
        provider_from("my_models:cnn", "feature", "1", device="gpu")


@pytest.mark.cuda
def test_the_model_moves_to_the_gpu(gpu) -> None:
    for spec, *said in ("my_models:cnn", "feature", "1"), ("my_models:teacher",):
        got = provider_from(spec, *said, device="gpu")
        assert got.provider(images().cuda()).device.type == "cuda"
