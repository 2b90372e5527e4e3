"""What `bench_peers.py` knows of a peer, and what its peers share.

All start from decoded images, uint8 [B, H, W, C], and end with normalised ones [B, C, H, W] and labels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from torch import Tensor

from benchmarks.tensors import MEAN, STD, tensor
from dalimix import MixPlan

Way = Callable[[Tensor, Tensor, "Told"], tuple[Tensor, Any]]  # of images, labels and a plan of tensors


@dataclass(frozen=True, eq=False)
class Told(MixPlan):
    """A plan of tensors; and on the host, where some draw them, partners, λ and boxes: to fetch them makes it wait."""

    lists: tuple[list[int], list[float], list[list[int]]] = field(kw_only=True)

    @classmethod
    def of(cls, plan: MixPlan) -> Told:
        """Of one of NumPy or CuPy arrays."""
        partner, *others = map(tensor, plan.arrays())
        lists = tuple(array.tolist() for array in (plan.partner, plan.blend, plan.box))
        return cls(partner.long(), *others, lists=lists)


@dataclass(frozen=True)
class Peer:
    """Somebody else's way to mixed images and targets."""

    name: str
    mix: Way
    told: bool  # whether it follows the plan; else it draws random numbers of its own
    dense: Callable[[Any], Tensor] | None = None  # its targets as soft labels, where it makes pairs of labels


def normalise(images: Tensor, dtype: torch.dtype) -> Tensor:
    """Of [B, C, H, W] of any strides, as timm's loader does it: cast, then subtract and divide in that type."""
    pixels = images.to(dtype, memory_format=torch.contiguous_format)
    return pixels.sub_(row(MEAN, dtype, images.device)).div_(row(STD, dtype, images.device))


@cache
def row(values: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """[1, C, 1, 1], made once: to move it would make the host wait."""
    return torch.tensor(values, dtype=dtype, device=device)[None, :, None, None]
