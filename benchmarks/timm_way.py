"""The peers of `bench_compose.py`: what timm's Mixup does, written with torch on one thread.

Flip the batch, paste in place or blend, and normalise as timm's prefetching loader does: cast to the wanted type, then
subtract and divide in it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from dalimix import MixPlan

torch.set_num_threads(1)


def compose(images: np.ndarray, plan: MixPlan, mean: Sequence[float], std: Sequence[float], dtype: str) -> np.ndarray:
    """One box or one λ for the whole batch (timm's mode "batch"). uint8 [B, H, W, C] to `dtype` [B, C, H, W]."""
    batch = torch.from_numpy(images).permute(0, 3, 1, 2)
    lam = float(plan.blend[0])
    if lam != 1:
        batch = _normalise(batch, mean, std, dtype)
        flipped = batch.flip(0).mul_(1 - lam)
        return batch.mul_(lam).add_(flipped).numpy()
    top, left, bottom, right = plan.box[0]
    flipped, batch = batch.flip(0), batch.clone()
    batch[:, :, top:bottom, left:right] = flipped[:, :, top:bottom, left:right]
    return _normalise(batch, mean, std, dtype).numpy()


def compose_each(
    images: np.ndarray, plan: MixPlan, mean: Sequence[float], std: Sequence[float], dtype: str
) -> np.ndarray:
    """A box or λ of its own for every image (timm's mode "elem"): a loop over the samples."""
    batch = torch.from_numpy(images).permute(0, 3, 1, 2)
    original, batch = batch, _normalise(batch, mean, std, dtype)
    source = batch.clone()
    for i in range(len(original)):
        lam, j = float(plan.blend[i]), int(plan.partner[i])
        if lam != 1:
            batch[i] = source[i] * lam + source[j] * (1 - lam)
        else:
            top, left, bottom, right = plan.box[i]
            batch[i, :, top:bottom, left:right] = source[j, :, top:bottom, left:right]
    return batch.numpy()


def _normalise(batch: torch.Tensor, mean: Sequence[float], std: Sequence[float], dtype: str) -> torch.Tensor:
    kind = getattr(torch, dtype)
    means, stds = (torch.tensor(values, dtype=kind).view(1, -1, 1, 1) for values in (mean, std))
    return batch.to(kind, memory_format=torch.contiguous_format).sub_(means).div_(stds)
