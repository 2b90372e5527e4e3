"""From the images that are handed in to what a model reads."""

from __future__ import annotations

import warnings
from itertools import chain

import torch
from torch import Tensor, nn

from dalimix import checks
from dalimix.heatmaps.arguments import Numbers, described
from dalimix.heatmaps.graphs import refuse_graph
from dalimix.heatmaps.tensors import FLOATING, UNNEST, is_integer, same_device
from dalimix.pixels import check_units, check_values

NO_SCALE = (
    "images are uint8 0 … 255, but the provider has no mean and std: give those that the model was trained with, in "
    "these units, or mean=0 and std=1 if it normalises bytes itself"
)


def check_images(images: object, model: nn.Module) -> None:
    """Check a batch [B, C, H, W], uint8 or floating, on the device of `model`.

    Raises:
        TypeError: `images` is not a tensor, has another dtype, is nested or sparse, or is part of a graph.
        ValueError: another shape or layout, or another device than the model's.
    """
    if not isinstance(images, Tensor):
        raise TypeError(f"images must be a tensor, got {described(images)}")
    if images.dtype != torch.uint8 and images.dtype not in FLOATING:
        remedy = ": hand in images.float()" if images.is_floating_point() else ""
        raise TypeError(f"images must be uint8 or floating, got {images.dtype}{remedy}")
    refuse_graph("images", images)
    if images.is_nested:
        raise TypeError(f"images must be a batch [B, C, H, W], got a nested tensor: {UNNEST.format('images')}")
    if images.layout != torch.strided:
        raise TypeError(f"images must be a tensor with plain memory, got {images.layout}: hand in images.to_dense()")
    if images.ndim != 4 or 0 in images.shape:
        raise ValueError(f"images must be a batch [B, C, H, W], got shape {list(images.shape)}")
    checks.proper_layout(images.shape, "CHW")
    first = next(_tensors(model), images)
    if first.device != images.device:
        move = f"move it with model.to('{images.device}')"
        raise ValueError(f"the model is on {first.device} but the images are on {images.device}: {move}")


def check_labels(labels: object, images: Tensor) -> Tensor | None:
    """Check labels, integer [B], one for each of the images, on their device.

    Raises:
        TypeError, ValueError: they are not that.
    """
    size = len(images)
    if labels is None:
        return None
    if not is_integer(labels):
        raise TypeError(f"labels must be an integer tensor [{size}], got {described(labels)}")
    if labels.shape not in ((size,), (size, 1)):
        raise ValueError(f"labels must be [{size}], one per image, got {list(labels.shape)}")
    same_device("labels", labels, "images", images)
    return labels.reshape(size)


def units_fit(images: Tensor, mean: Numbers, std: Numbers) -> bool:
    """Whether the values of these floating images show that mean and std are in their units; uint8 is always checked.

    Values are read on the CPU only, since the host would have to wait for a GPU. Bytes without mean and std may be what
    the model takes, so they are a warning.

    Raises:
        ValueError: mean and std are in other units than the images.
    """
    if mean is None and std is None:
        if images.dtype == torch.uint8:
            warnings.warn(NO_SCALE, stacklevel=2)
        return True
    if images.dtype == torch.uint8:
        check_units(images.dtype, mean, std)
        return False
    return images.device.type == "cpu" and check_values(images.detach(), mean, std)


def model_input(
    images: Tensor,
    model: nn.Module,
    size: tuple[int, int] | None,
    mean: Numbers,
    std: Numbers,
) -> Tensor:
    """A new tensor [B, C, *size], contiguous, in the dtype of the model's parameters: ``(images − mean) / std``.

    It is a copy even if nothing changes, because a model may work in place; and contiguous, because some models
    take views of what they compute.
    """
    dtype = next((tensor.dtype for tensor in _tensors(model) if tensor.is_floating_point()), torch.float32)
    exact = torch.promote_types(dtype, torch.float32)
    pixels = images.detach().to(exact, memory_format=torch.contiguous_format, copy=True)
    if size not in (None, tuple(images.shape[2:])):
        pixels = nn.functional.interpolate(pixels, size=size, mode="bilinear", antialias=True)
    _normalise(pixels, mean, std)
    return pixels.to(dtype)


def _normalise(pixels: Tensor, mean: Numbers, std: Numbers) -> None:
    """Normalise in place, and with numbers instead of tensors, for which the host would have to wait on a GPU."""
    scaling = checks.scaling(mean, std, pixels.shape[1])
    if scaling is not None:
        for channel, scale, bias in zip(pixels.unbind(1), *scaling, strict=True):
            channel.mul_(scale).add_(bias)


def _tensors(model: nn.Module) -> chain[Tensor]:
    return chain(model.parameters(), model.buffers())
