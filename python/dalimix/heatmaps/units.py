"""Whether mean and std are of the units of the images: the commonest mistake with a model is that they are not."""

from __future__ import annotations

import torch
from torch import Tensor

from dalimix.heatmaps.arguments import Numbers
from dalimix.pixels import check_units

OF_BYTES = 4.0  # a mean or std above it is one of 0 … 255: of 0 … 1 they are below 1, and normalised images need none
BRIGHT = 16.0  # what images of 0 … 1 never reach, whatever resized them


def units_fit(images: Tensor, mean: Numbers, std: Numbers) -> bool:
    """Whether these images tell that mean and std are of their units.

    Of uint8 that is known. Floating images are looked at on the CPU only, since on a GPU it would mean to wait for it;
    dark ones may tell nothing.

    Raises:
        ValueError: mean and std are of other units than the images.
    """
    if mean is None and std is None:
        return True
    if images.dtype == torch.uint8:
        check_units(images.dtype, mean, std)
        return True
    if images.device.type != "cpu":
        return False
    low, high = (bound.item() for bound in images.detach().aminmax())
    highest, widest = max(mean or (0.0,)), max(std or (1.0,))
    came = f"images go from {low:.3g} to {high:.3g}, but mean is {mean} and std is {std}"
    if max(highest, widest) > OF_BYTES:
        return _tells_bytes(images, low, high, came)
    of_one = widest < 1 or (widest == 1 and 0 < highest < 1)
    if of_one and high > BRIGHT:
        raise ValueError(f"{came}, as of values 0 … 1: multiply mean and std by 255")
    return high > 0


def _tells_bytes(images: Tensor, low: float, high: float, came: str) -> bool:
    """Black is black in all units; and the values of a dark batch 0 … 255, such as 0 and 1, may be whole."""
    if low < -0.1 and max(-low, high) < BRIGHT:
        raise ValueError(f"{came}, of values 0 … 255: hand in images as decoded, or leave mean and std out")
    if low >= 0 and 0.5 <= high <= 1 and images.detach().frac().any():
        raise ValueError(f"{came}, of values 0 … 255: multiply the images by 255, or divide mean and std by it")
    return high > BRIGHT
