"""From what a command line says of a model to a provider of heatmaps."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from dali_ops.device import check_device, torch_device
from dalimix import checks
from dalimix.heatmaps import AttentionHeatmap, ClassActivationHeatmap, FeatureHeatmap, HeatmapProvider, ModelHeatmap

if TYPE_CHECKING:
    from torch import nn

KINDS = ("feature", "attention", "class-activation")
SIZE = 224  # pixels, where nobody says otherwise
FACTS = ("layer", "classifier", "grid", "mean", "std", "size", "autocast")  # of a provider, that change its maps


@dataclass(frozen=True)
class HeatmapModel:
    """A model that is ready to make heatmaps.

    Attributes:
        provider: of heatmaps, on its device.
        size: side in pixels to which images are to be brought for it.
        text: what it is, in words; other words for everything that makes other maps.
    """

    provider: HeatmapProvider
    size: int
    text: str


def provider_from(
    spec: str,
    kind: str | None = None,
    layer: str | None = None,
    *,
    classifier: str | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    input_size: int | None = None,
    labelled: bool = False,
    device: str = "cpu",
) -> HeatmapModel:
    """Make a provider of heatmaps, and try it out on a black image.

    Args:
        spec: ``"module:function"``, where the module may lie in the current directory, and ``function()`` returns a
            provider, which is used as it is, or a `torch.nn.Module`. Or the name of a pretrained timm model.
        kind: of `KINDS`, for an nn.Module: how its heatmaps are made.
        layer: name of the module to watch, for an nn.Module; see `dalimix.heatmaps.ModelHeatmap`.
        classifier: name of the classifier, for ``"class-activation"`` alone.
        mean, std: for an nn.Module, one number or one per channel, of pixels 0 … 255; None: timm's, or images are not
            normalised.
        input_size: side in pixels to which images are brought; None: that of the provider or timm's, else 224.
        labelled: whether the maps will be made for the class indices of the folder.
        device: ``"cpu"`` or ``"gpu"``, to which the model is moved.

    Raises:
        TypeError, ValueError: the model cannot be made, or what is said does not fit it.
        ModuleNotFoundError: torch or timm is missing.
    """
    if not isinstance(spec, str) or not spec:
        raise TypeError(f"spec must be 'module:function' or the name of a timm model, got {spec!r}")
    device = check_device(device)
    if input_size is not None:
        checks.counts(input_size=input_size)
    said = {"kind": kind, "layer": layer, "classifier": classifier, "mean": mean, "std": std}
    made, known = _called(spec) if ":" in spec else _from_timm(spec)
    provider = _provider(made, spec, said, known)
    size = input_size or known.get("size") or _size_of(provider)
    if labelled and isinstance(provider, (FeatureHeatmap, AttentionHeatmap)):
        raise ValueError(f"--labels is for heatmaps of a class, but {type(provider).__name__} makes them of none")
    if isinstance(provider, ModelHeatmap):
        provider.model.to(torch_device(device)).eval()
    _try_out(provider, spec, size, labelled, device)
    return HeatmapModel(provider, size, _text(provider, spec, size, labelled))


def _called(spec: str) -> tuple[Any, dict[str, Any]]:
    """What ``function()`` of ``"module:function"`` returns, and that nothing is known of it."""
    module_name, _, name = spec.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # as with `python -m`
    try:
        function = getattr(import_module(module_name), name)
        return function(), {}
    except (Exception, SystemExit) as error:  # anybody's code can raise anything
        expected = f"{name} is called without arguments, and must return an nn.Module or a provider"
        hint = f"; {expected}" if isinstance(error, TypeError) else ""  # it may be a provider itself
        raise ValueError(f"--model {spec}: {type(error).__name__}: {error}{hint}") from error


def _from_timm(name: str) -> tuple[Any, dict[str, Any]]:
    """A pretrained model, and the mean, std and size that it was trained with."""
    try:
        create_model = import_module("timm").create_model
        resolve_data_config = import_module("timm.data").resolve_data_config
    except ImportError as error:
        remedy = "pip install timm, or give module:function"
        raise ModuleNotFoundError(f"--model {name} is looked for in timm, but: {error}; {remedy}") from error
    try:
        model = create_model(name, pretrained=True)
    except Exception as error:  # no such model, no network, …
        raise ValueError(f"--model {name}: timm: {type(error).__name__}: {error}") from error
    config = resolve_data_config({}, model=model)
    # of values 0 … 1, and rounded because 255 times a decimal fraction is no short number
    scaling = {key: [round(255 * value, 6) for value in config[key]] for key in ("mean", "std")}
    return model, {**scaling, "size": max(config["input_size"][1:])}


def _provider(made: Any, spec: str, said: dict[str, Any], known: dict[str, Any]) -> HeatmapProvider:
    from torch import nn

    if isinstance(made, nn.Module):
        return _watching(made, **{key: known.get(key) if value is None else value for key, value in said.items()})
    if not callable(made):
        expected = "a torch.nn.Module or a provider of heatmaps"
        raise TypeError(f"--model {spec}: {expected} was expected from the function, got {type(made).__name__}")
    given = [f"--{option}" for option, value in said.items() if value is not None]
    if given:
        raise ValueError(f"--model {spec} made a provider, which is used as it is: leave out {', '.join(given)}")
    provider: HeatmapProvider = made
    return provider


def _watching(
    model: nn.Module, kind: str | None, layer: str | None, classifier: str | None, mean: Any, std: Any
) -> ModelHeatmap:
    if kind not in KINDS:
        wrong = f"must be one of {', '.join(KINDS)}, got {kind}"
        missing = f"is missing: {type(model).__name__} is an nn.Module; give one of {', '.join(KINDS)}"
        raise ValueError(f"--kind {missing if kind is None else wrong}")
    if layer is None:
        names = ", ".join(name for name, _ in model.named_children())
        raise ValueError(f"--layer is missing: the name of a module of {type(model).__name__}, which has {names}")
    if (classifier is not None) != (kind == "class-activation"):
        raise ValueError(f"--classifier and --kind class-activation go together, got {classifier} and {kind}")
    if classifier is not None:
        return ClassActivationHeatmap(model, layer, classifier, mean=mean, std=std)
    watch = FeatureHeatmap if kind == "feature" else AttentionHeatmap
    return watch(model, layer, mean=mean, std=std)


def _size_of(provider: HeatmapProvider) -> int:
    """The input size of a provider's model, its longer side; where it says none, that which most were trained with."""
    size = provider.size if isinstance(provider, ModelHeatmap) else None
    return SIZE if size is None else max(size)


def _try_out(provider: HeatmapProvider, spec: str, size: int, labelled: bool, device: str) -> None:
    """Make the heatmap of a black image: what does not fit is found before a store is begun with it."""
    import torch

    image = torch.zeros(1, 3, size, size, dtype=torch.uint8, device=torch_device(device))
    labels = (torch.zeros(1, dtype=torch.int64, device=image.device),) if labelled else ()
    try:
        with torch.no_grad():
            heatmap = provider(image, *labels)
    except Exception as error:  # anybody's code can raise anything
        raise ValueError(f"--model {spec}: no heatmap of an image: {type(error).__name__}: {error}") from error
    shape = list(getattr(heatmap, "shape", ()))
    if len(shape) != 3 or shape[0] != 1:
        got = shape or type(heatmap).__name__
        raise ValueError(f"--model {spec}: a heatmap of one image must be a tensor [1, h, w], got {got}")


def _text(provider: HeatmapProvider, spec: str, size: int, labelled: bool) -> str:
    facts = vars(provider) if isinstance(provider, ModelHeatmap) else {}
    said = ", ".join(f"{name}={facts[name]!r}" for name in FACTS if facts.get(name) is not None)
    made_by = f"{spec}, {type(provider).__name__}({said})" if said else spec
    return f"{made_by}, images {size} × {size}{', for their classes' if labelled else ''}"
