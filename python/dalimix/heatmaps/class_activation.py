"""Heatmaps of one class: where in the image the model sees it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from dalimix.functional import PerChannel
from dalimix.heatmaps.base import ModelHeatmap
from dalimix.heatmaps.tokens import feature_map

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


class ClassActivationHeatmap(ModelHeatmap):
    """Class activation maps: a layer's features, weighted as the classifier weights them for the label, clipped at 0.

    Zhou et al., arXiv 1512.04150: ``max(0, Σ_c weight[label, c] · feature[c])``, for models that classify the mean of
    the features over the image.

    Args:
        model, layer, grid, mean, std, size, autocast: as in `ModelHeatmap`; the layer gives what is averaged and then
            classified, [B, C, gh, gw] or tokens [B, N, C].
        classifier: name of the `torch.nn.Linear`, or the 1 × 1 convolution, that turns the C means into classes.

    It is called as ``provider(images, labels)``. Without labels, the class is the one that the model, which must then
    return [B, classes], finds most likely. A label outside of the classes is a `ValueError` on the CPU; on a GPU, which
    the host does not wait for, it makes the image's map NaN.

    Raises:
        TypeError, ValueError: an argument is not as described. For a wrong name, the error lists the nearest ones.

    Examples:
        >>> provider = ClassActivationHeatmap(cnn, layer="features", classifier="head")
        >>> heatmaps = provider(images, labels)
        >>> heatmaps.shape, bool((heatmaps >= 0).all())
        (torch.Size([4, 8, 8]), True)
    """

    def __init__(
        self,
        model: nn.Module,
        layer: str,
        classifier: str,
        *,
        grid: int | tuple[int, int] | None = None,
        mean: PerChannel | None = None,
        std: PerChannel | None = None,
        size: int | tuple[int, int] | None = None,
        autocast: torch.dtype | str | None = None,
    ) -> None:
        from dalimix.heatmaps.hooks import find_module

        super().__init__(model, layer, grid=grid, mean=mean, std=std, size=size, autocast=autocast)
        _check_classifier(classifier, find_module(model, classifier, "classifier"))
        self.classifier = classifier

    def _watch(self, batch_size: int) -> AbstractContextManager[list[Any]]:
        from dalimix.heatmaps.hooks import last_output

        return last_output(self._module)

    def _heatmaps(self, seen: list[Any], output: Any, labels: Tensor | None, pixels: Tensor) -> Tensor:
        features = feature_map(seen, self.layer, self.grid, pixels)
        weight: Any = self.model.get_submodule(self.classifier).weight
        weight = weight.flatten(1).float()  # [classes, C]
        if features.shape[1] != weight.shape[1]:
            reads = f"classifier {self.classifier!r} reads {weight.shape[1]} channels"
            raise ValueError(f"{reads}, but module {self.layer!r} gave {features.shape[1]}: name what it classifies")
        chosen = _predicted(output, len(pixels), len(weight)) if labels is None else labels
        return _activation(features.float(), weight, chosen.long())


def _activation(features: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
    """[B, gh, gw] of features [B, C, gh, gw], weight [classes, C] and labels [B]."""
    classes = len(weight)
    wrong = (labels < 0) | (labels >= classes)
    if labels.device.type == "cpu" and wrong.any():
        raise ValueError(f"labels must be in 0 … {classes - 1}, got {labels[wrong][0].item()}")
    rows = weight[labels.clamp(0, classes - 1)]  # clamped: an index out of bounds would end the CUDA context
    maps = (rows[:, None] @ features.flatten(2)).squeeze(1).relu()
    return maps.masked_fill(wrong[:, None], float("nan")).unflatten(1, features.shape[2:])


def _predicted(output: Any, size: int, classes: int) -> Tensor:
    from dalimix.heatmaps.hooks import first_tensor

    scores = first_tensor(output)
    shape = list(getattr(scores, "shape", ()))
    if shape != [size, classes]:
        got = shape or type(output).__name__
        raise ValueError(f"without labels the model must return [{size}, {classes}], got {got}: hand in labels")
    return scores.argmax(1)


def _check_classifier(name: str, module: nn.Module) -> None:
    from torch import nn

    convolution = isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1) and module.groups == 1
    if not convolution and not isinstance(module, nn.Linear):
        raise TypeError(f"classifier {name!r} must be a Linear or a 1 × 1 Conv2d, got {type(module).__name__}")
