"""The peers of `bench_attention.py`: how others cut with attention, written anew from what their code does.

Images are torch tensors uint8 [B, H, W, C], heatmaps [B, g, g]. What the original does with torch is done where the
tensors are; what it does with NumPy goes by way of the host.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class AttentiveCut:
    """What both ways are told: whose `top` cells every image gets, and how the pixels come out."""

    partner: Tensor  # int64 [B]
    partners: list[int]  # the same
    top: int
    grid: int
    mean: Tensor  # [C, 1, 1], of the dtype that comes out
    std: Tensor

    def normalised(self, images: Tensor) -> Tensor:
        """[B, C, H, W], as timm's loader does it: cast to the wanted type, then subtract and divide in it."""
        pixels = images.permute(0, 3, 1, 2).to(self.mean.dtype, memory_format=torch.contiguous_format)
        return pixels.sub_(self.mean).div_(self.std)


class EachImage(AttentiveCut):
    """As in the authors' repository, github.com/xden2331/attentive_cutmix, where it is a transform of a data loader.

    For every image NumPy chooses the cells, in no order, and copies them one after another.
    """

    name = "image by image"

    def plan(self, heatmaps: Tensor) -> list[np.ndarray]:
        """The numbers of the cells that every image gets."""
        flat = (heatmaps[j].cpu().numpy().ravel() for j in self.partners)
        return [np.argpartition(values, -self.top)[-self.top :] for values in flat]

    def compose(self, images: Tensor, plan: list[np.ndarray]) -> Tensor:
        own = images.cpu().numpy()
        mixed, side = own.copy(), images.shape[1] // self.grid
        for i, j in enumerate(self.partners):
            for row, column in zip(*np.unravel_index(plan[i], (self.grid, self.grid)), strict=True):
                where = np.s_[row * side : (row + 1) * side, column * side : (column + 1) * side]
                mixed[i][where] = own[j][where]
        return self.normalised(torch.from_numpy(mixed).to(images.device))

    def tokens(self, plan: list[np.ndarray]) -> np.ndarray:
        """The plan as ours says it: uint8 [B, g · g], 1 in the chosen cells."""
        tokens = np.zeros((len(plan), self.grid**2), np.uint8)
        np.put_along_axis(tokens, np.stack(plan), 1, axis=1)
        return tokens


class WholeBatch(AttentiveCut):
    """As in OpenMixup, github.com/Westlake-AI/openmixup, `attentivemix`.

    One top-k for the batch, a loop over the images that fills a mask, the mask enlarged to the images, and two products
    and a sum of normalised values. What it computes for the labels, one number that the host waits for, is left out.
    """

    name = "top-k, blend"

    def plan(self, heatmaps: Tensor) -> Tensor:
        """The mask, [B, 1, g, g]."""
        chosen = heatmaps.flatten(1).topk(self.top).indices[self.partner]
        rows, columns = chosen // self.grid, chosen % self.grid
        shape = (len(chosen), 1, self.grid, self.grid)
        mask = torch.zeros(shape, dtype=self.mean.dtype, device=heatmaps.device)
        for i in range(len(chosen)):
            mask[i, 0, rows[i], columns[i]] = 1
        return mask

    def compose(self, images: Tensor, plan: Tensor) -> Tensor:
        own = self.normalised(images)
        mask = nn.functional.interpolate(plan, size=own.shape[2:], mode="nearest")
        return mask * own[self.partner] + (1 - mask) * own

    def tokens(self, plan: Tensor) -> np.ndarray:
        """As in `EachImage`."""
        return plan.flatten(1).cpu().numpy().astype(np.uint8)


def heatmaps_each(images: Tensor, model: Any, mean: float, std: float) -> Tensor:
    """As in the authors' repository: the model runs on one image at a time, and every map goes to the host.

    Of images uint8 [B, C, H, W] the mean over the channels of the last features, [B, h, w].
    """
    with torch.no_grad():
        pixels = ((image[None].float().contiguous() - mean) / std for image in images)
        features = (model.extract_features(image) for image in pixels)
        maps = [feature[0].mean(0).cpu().numpy() for feature in features]
    return torch.from_numpy(np.stack(maps)).to(images.device)
