"""What a mixed batch was made of, for losses that need more than its images and targets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from dalimix import Method, MixPlan

if TYPE_CHECKING:
    from torch import Tensor

TARGETS = {"dense": ("targets",), "pair": ("labels", "partner_labels", "weights")}
PLAN = tuple(field.name for field in fields(MixPlan) if not field.kw_only)  # as MixPlan.arrays gives them


@dataclass(frozen=True, eq=False)
class BatchInfo:
    """What a batch was made of: torch tensors on the device of the batch.

    Attributes:
        labels: int64 [B], each image's own class, before mixing.
        plan: how the images were mixed, a `dalimix.MixPlan` of tensors; what was erased is no part of it.
        index: int64 [B], which image each one is, by its position in the source: ``loader.names(index)``. That of the
            image that was mixed in is ``index[plan.partner]``.
        predictions: float32 [B, C], the outputs of the model under training for the unmixed images, for a consistency
            loss (SMMix, arXiv 2212.12977); None unless the heatmaps come from a `dalimix.heatmaps.SnapshotHeatmap`.

    Examples:
        >>> loader = ImageFolderLoader(folder, CutMix(), batch_size=4, transform=Train(32), keep_info=True, seed=0)
        >>> images, targets = next(iter(loader))
        >>> info = loader.batch_info
        >>> info.labels.shape, info.plan.box.shape, info.predictions
        (torch.Size([4]), torch.Size([4, 4]), None)
        >>> loader.names(info.index)
        ['cat/0.jpg', 'cat/2.jpg', 'fox/3.jpg', 'fox/1.jpg']
        >>> loader.close()
    """

    labels: Tensor
    plan: MixPlan
    index: Tensor
    predictions: Tensor | None = None


@dataclass(frozen=True)
class Outputs:
    """The outputs of the training pipeline by name and in order: images, targets, and then the parts of the info.

    Attributes:
        method: None: images and class indices.
        form: of the targets.
        info: whether there is an info.
        predictions: whether predictions are part of it.
        size: height and width of the images in pixels.
        channels_last: whether images come as HWC, for ``torch.channels_last``.
        in_bits: whether they come as int16, the bits of bfloat16.
    """

    method: Method | None
    form: str
    info: bool
    predictions: bool
    size: tuple[int, int]
    channels_last: bool = False
    in_bits: bool = False

    @property
    def names(self) -> list[str]:
        """One for each output."""
        names = ["images", *TARGETS[self.form]]
        if self.info:
            names += ["own_labels", *self._plan, "index"]
        return [*names, "predictions"] if self.predictions else names

    @property
    def _plan(self) -> tuple[str, ...]:
        assert self.method is not None  # there is no info without one
        return PLAN[:-1] if self.method.token_grid is None else PLAN

    def batch(self, outputs: Mapping[str, Any], pin_memory: bool = False) -> tuple[Any, Any]:
        """``(images, targets)`` as a loader yields them."""
        images, *targets = (outputs[name] for name in ("images", *TARGETS[self.form]))
        if self.in_bits:
            images = self._in_bfloat16(images)
        if self.channels_last:
            images = images.permute(0, 3, 1, 2)
        if pin_memory:
            images, *targets = (tensor.pin_memory() for tensor in (images, *targets))
        return images, targets[0] if len(targets) == 1 else tuple(targets)

    @staticmethod
    def _in_bfloat16(images: Tensor) -> Tensor:
        import torch

        return images.view(torch.bfloat16)

    def batch_info(self, outputs: Mapping[str, Any]) -> BatchInfo | None:
        """The info of the same batch, if there is one."""
        if not self.info:
            return None
        plan = MixPlan(*(outputs[name] for name in self._plan), size=self.size)
        return BatchInfo(outputs["own_labels"], plan, outputs["index"], outputs.get("predictions"))
