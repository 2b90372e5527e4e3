"""From the images that are handed in to what a model reads."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np
import torch
from torch import Tensor, nn

from dalimix import checks


def check_images(images: object, model: nn.Module) -> None:
    """A batch [B, C, H, W], uint8 or floating, on the device of `model`.

    Raises:
        TypeError: `images` is no tensor, or of another dtype.
        ValueError: another shape or layout, or another device than the model's.
    """
    if not isinstance(images, Tensor):
        raise TypeError(f"images must be a tensor, got {type(images)}")
    if images.dtype != torch.uint8 and not images.is_floating_point():
        raise TypeError(f"images must be uint8 or floating, got {images.dtype}")
    if images.ndim != 4 or 0 in images.shape:
        raise ValueError(f"images must be a batch [B, C, H, W], got shape {list(images.shape)}")
    checks.proper_layout(images.shape, "CHW")
    first = next(_tensors(model), images)
    if first.device != images.device:
        move = f"move it with model.to('{images.device}')"
        raise ValueError(f"the model is on {first.device} but the images are on {images.device}: {move}")


def model_input(
    images: Tensor,
    model: nn.Module,
    size: tuple[int, int] | None,
    mean: float | Sequence[float] | None,
    std: float | Sequence[float] | None,
) -> Tensor:
    """A new tensor [B, C, *size], contiguous, in the dtype of the model's parameters: ``(images − mean) / std``.

    It is a copy even where nothing changes, because a model may work in place; and contiguous, because some models
    view what they compute.
    """
    dtype = next((tensor.dtype for tensor in _tensors(model) if tensor.is_floating_point()), torch.float32)
    exact = torch.promote_types(dtype, torch.float32)
    pixels = images.detach().to(exact, memory_format=torch.contiguous_format, copy=True)
    if size not in (None, tuple(images.shape[2:])):
        pixels = nn.functional.interpolate(pixels, size=size, mode="bilinear", antialias=True)
    _normalise(pixels, mean, std)
    return pixels.to(dtype)


def _normalise(pixels: Tensor, mean: float | Sequence[float] | None, std: float | Sequence[float] | None) -> None:
    """In place, and with numbers instead of tensors: a tensor of them would have to be waited for on a GPU."""
    scaling = checks.scaling(mean, std, pixels.shape[1])
    if scaling is not None:
        for channel, scale, bias in zip(pixels.unbind(1), *scaling, strict=True):
            channel.mul_(scale).add_(bias)


def check_units(images: Tensor, std: float | Sequence[float] | None) -> None:
    """Refuse bytes with a standard deviation below 1: it is one of values 0 … 1.

    Raises:
        ValueError: it is.
    """
    if images.dtype == torch.uint8 and std is not None and np.max(std) < 1:
        raise ValueError(
            f"mean and std must be in the units of the images, uint8 0 … 255, but std is {std}: multiply by 255"
        )


def _tensors(model: nn.Module) -> chain[Tensor]:
    return chain(model.parameters(), model.buffers())
