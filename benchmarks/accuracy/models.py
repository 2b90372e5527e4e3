"""The models: a CNN and a vision transformer, both with 8 × 8 cells, whose mean a linear layer classifies."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from benchmarks.accuracy.data import CLASSES
from dalimix.heatmaps import AttentionHeatmap, ClassActivationHeatmap, FeatureHeatmap, ModelHeatmap
from examples.small_vit import PATCH as USUAL_PATCH
from examples.small_vit import SmallViT

GRID, PATCH = 8, 4  # cells along each side; pixels along each side of a cell
CHANNELS = (1, 16, 32, 64)
STRIDES = (2, 2, 1)
WIDTH, DEPTH, HEADS = 32, 3, 4


@dataclass(frozen=True)
class Architecture:
    """How to make a model, and where its cells are.

    Attributes:
        make: the model, by torch's random numbers.
        layer: which gives the cells; `HEAD` classifies their mean.
        attended: what of an image the model looks at, as a provider of heatmaps.
        has_tokens: whether the cells are tokens, as SMMix needs them to classify them in groups.
    """

    make: Callable[[], nn.Module]
    layer: str
    attended: Callable[[nn.Module, str], ModelHeatmap]
    has_tokens: bool

    def looks(self, model: nn.Module) -> ModelHeatmap:
        return self.attended(model, self.layer)

    def sees_class(self, model: nn.Module) -> ModelHeatmap:
        """A provider of heatmaps of the images' own classes."""
        return ClassActivationHeatmap(model, self.layer, HEAD)


def small_cnn() -> nn.Module:
    """Three convolutions."""
    layers = [
        layer
        for before, after, stride in zip(CHANNELS, CHANNELS[1:], STRIDES, strict=False)
        for layer in (nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU())
    ]
    pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(OrderedDict(features=nn.Sequential(*layers), pool=pool, head=nn.Linear(CHANNELS[-1], CLASSES)))


def small_vit() -> nn.Module:
    """That of the examples, with patches of 4 × 4 pixels of one channel in place of 16 × 16 of three."""
    model = SmallViT(CLASSES, GRID * USUAL_PATCH, WIDTH, DEPTH, HEADS)
    model.patches = nn.Conv2d(1, WIDTH, PATCH, PATCH)
    return model


HEAD = "head"
ARCHITECTURES = {
    "small CNN": Architecture(small_cnn, "features", FeatureHeatmap, has_tokens=False),
    "small ViT": Architecture(small_vit, "layers", AttentionHeatmap, has_tokens=True),
}
