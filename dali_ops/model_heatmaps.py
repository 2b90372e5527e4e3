"""Heatmaps of a PyTorch model that runs inside the pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nvidia.dali.data_node import DataNode
from nvidia.dali.pipeline import do_not_convert

from dali_ops import bridge
from dali_ops.device import check_device
from dalimix import checks

if TYPE_CHECKING:
    from torch import Tensor

    from dalimix.heatmaps import HeatmapProvider


@do_not_convert  # plain Python, also where the pipeline around it is rewritten for conditionals
def model_heatmaps(
    images: DataNode,
    provider: HeatmapProvider,
    labels: DataNode | None = None,
    *,
    layout: str = "HWC",
    device: str | None = None,
) -> DataNode:
    """Run a provider of heatmaps on every batch, for methods that read them: ``mix(…, heatmaps=model_heatmaps(…))``.

    The model gets DALI's own memory, uncopied, and on the GPU works on DALI's stream; no gradient is recorded. (On the
    GPU the heatmaps are copied into DALI's memory once, as all that `dali_ops.bridge` hands back.) It must be on the
    device of the images. Nothing may train it while the pipeline runs: DALI runs ahead in a thread of its own.

    Args:
        images: uint8 or floating samples, [H, W, C] or [C, H, W], all of one size; not mirrored, not normalised.
        provider: a provider of `dalimix.heatmaps`; or any ``provider(images)``, and with labels ``provider(images,
            labels)``, that takes tensors, [B, C, H, W] and integer [B], which it must neither modify nor keep, and
            returns a tensor [B, h, w].
        labels: integer class numbers, scalars or [1], for providers that read them.
        layout: of the images, ``"HWC"``, as decoders give them, or ``"CHW"``.
        device: ``"cpu"`` or ``"gpu"``; None: where the images are.

    Returns:
        float32 samples [h, w].

    Raises:
        TypeError, ValueError: arguments out of range, now; what the provider raises or returns wrongly, when the
            pipeline runs, as DALI's RuntimeError with the message inside.
        ModuleNotFoundError: ``device="gpu"`` without CuPy; torch is missing.
    """
    if not callable(provider):
        kind = type(provider).__name__
        raise TypeError(f"a provider of heatmaps must be callable, as those of dalimix.heatmaps, got {kind}")
    checks.layout(layout)
    device = device or images.device
    check_device(device)
    inputs = [images] if labels is None else [images, labels]
    moved = [bridge.moved(node, device) for node in inputs]
    (heatmaps,) = bridge.whole_batch(
        _Callback(provider, layout), moved, 1, device, [""], name="ModelHeatmaps", tensors=True
    )
    return heatmaps


@dataclass(frozen=True)
class _Callback:
    """Whole batches in, heatmaps out."""

    provider: HeatmapProvider
    layout: str

    def __call__(self, images: Tensor, *labels: Tensor) -> Sequence[Tensor]:
        import torch

        checks.proper_layout(images.shape, self.layout)
        channels_first = images if self.layout == "CHW" else images.permute(0, 3, 1, 2)
        with torch.no_grad():
            heatmaps = self.provider(channels_first, *(numbers.reshape(len(images)) for numbers in labels))
        _check(heatmaps, images)
        return [heatmaps.detach().float().contiguous()]


def _check(heatmaps: Any, images: Tensor) -> None:
    import torch

    if not isinstance(heatmaps, torch.Tensor):
        raise TypeError(f"provider must return a tensor [B, h, w], got {type(heatmaps)}")
    if heatmaps.ndim != 3 or len(heatmaps) != len(images) or 0 in heatmaps.shape:
        got = list(heatmaps.shape)
        raise ValueError(f"provider must return [{len(images)}, h, w] for {len(images)} images, got {got}")
    if heatmaps.device != images.device:
        raise ValueError(f"provider must return its heatmaps on {images.device}, got them on {heatmaps.device}")
