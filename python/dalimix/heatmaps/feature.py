"""Heatmaps of a CNN: how strong its features are."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from dalimix.heatmaps.base import ModelHeatmap
from dalimix.heatmaps.tokens import feature_map

if TYPE_CHECKING:
    from torch import Tensor


class FeatureHeatmap(ModelHeatmap):
    """The mean over the channels of a layer's output, such as the last features of a CNN.

    Attentive CutMix, arXiv 2003.13048. The layer gives a feature map [B, C, gh, gw], or tokens [B, N, C]; of a tuple
    the first tensor counts, and of a module that runs several times the last run. A layer after its activation
    function, which gives nothing below 0, is best: before it, the mean says little. Arguments, call and errors are as
    in `ModelHeatmap`.

    Examples:
        >>> provider = FeatureHeatmap(cnn, "features", mean=0.5, std=0.25)
        >>> mixer = BatchMixer(AttentiveCutMix(top=6, grid=7), num_classes=3)
        >>> mixed, targets = mixer(images, labels, provider(images))
    """

    def _watch(self, batch_size: int) -> AbstractContextManager[list[Any]]:
        from dalimix.heatmaps.hooks import last_output

        return last_output(self._module)

    def _heatmaps(self, seen: list[Any], output: Any, labels: Tensor | None, pixels: Tensor) -> Tensor:
        import torch

        return feature_map(seen, self.layer, self.grid, pixels).mean(1, dtype=torch.float32)
