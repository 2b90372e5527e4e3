"""The pixels of a planned batch, as tensors."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from dalimix import checks
from dalimix.erase import Erase
from dalimix.erase_plan import ErasePlan
from dalimix.functional import compose_bits
from dalimix.heatmaps.arguments import normalisation
from dalimix.mix_plan import MixPlan
from dalimix.pixels import check_bytes, check_erase, dtype_name
from dalimix.torch.arrays import as_image_tensor, as_images


class Pixels:
    """`dalimix.compose` for tensors: bfloat16 is torch's, and torch's channels_last memory stays.

    Args:
        mean, std, dtype, layout, output_layout: as in `BatchMixer`.

    Raises:
        TypeError, ValueError: an argument is not as described.
    """

    def __init__(self, mean: Any, std: Any, dtype: Any, layout: Any, output_layout: Any) -> None:
        self.layout = checks.layout(layout)
        self.output_layout = layout if output_layout is None else checks.layout(output_layout, "output_layout")
        self._mean, self._std = normalisation(mean, std)
        self._dtype = None if dtype is None else dtype_name(dtype)
        check_bytes(self._dtype, self._mean, self._std)

    def size(self, images: Tensor) -> tuple[int, int]:
        """Return (H, W)."""
        rows = 1 + self.layout.index("H")
        return images.shape[rows], images.shape[rows + 1]

    def check_erase(self, erase: Erase | None) -> None:
        """Refuse what is not random erasing, and noise for bytes."""
        check_erase(erase, self._dtype)

    def __call__(self, images: Tensor, plan: MixPlan, erase: ErasePlan | None = None) -> Tensor:
        as_hwc = self.layout == "CHW" and _is_channels_last(images)
        stays = as_hwc and self.output_layout == "CHW"
        array = as_images(images.permute(0, 2, 3, 1) if as_hwc else images)
        layouts = "HWC" if as_hwc else self.layout, "HWC" if stays else self.output_layout
        mixed = as_image_tensor(compose_bits(array, plan, None, self._mean, self._std, self._dtype, *layouts, erase))
        return mixed.permute(0, 3, 1, 2) if stays else mixed


def _is_channels_last(images: Tensor) -> bool:
    return images.is_contiguous(memory_format=torch.channels_last) and not images.is_contiguous()
