"""What all providers of heatmaps share: how a model is run, and that it is left as it was."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from dalimix import checks
from dalimix.methods.base import is_whole

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

HeatmapProvider: TypeAlias = Callable[..., "Tensor"]  # provider(images, labels=None) -> float32 [B, gh, gw]


class ModelHeatmap(ABC):
    """``heatmaps = provider(images, labels=None)``: a model is run, and one of its modules is watched.

    The model runs under no_grad and in eval mode. Afterwards it is as it was: modes, hooks, weights, statistics.
    Several threads, such as those of pipelines, may share a model; but none may train it meanwhile.

    Args:
        model: any PyTorch model of image batches [B, C, H, W].
        layer: name of the module to watch, as in ``model.named_modules()``; ``""`` is the model itself.
        grid: how the image's tokens lie, g or (gh, gw); None: the largest square. Tokens before them (class token,
            registers) are left out. Feature maps need no grid.
        mean, std: what the model was trained with, per channel or one number, in the units of the images handed in, as
            in DALI's ``crop_mirror_normalize``: for pixels 0 … 255, 255 times what is common for 0 … 1. None: the
            images are not normalised, because they are already, or the model does it.
        size: the model's input size in pixels, side or (H, W); the images are resized to it (bilinear, antialiased).
            None: as the images come.
        autocast: ``torch.float16`` or ``torch.bfloat16``, to run the model in; None: as it is around the call.

    Raises:
        TypeError, ValueError: an argument is not as described. A wrong name is answered with the nearest ones.
        ModuleNotFoundError: torch is missing.
    """

    def __init__(
        self,
        model: nn.Module,
        layer: str,
        *,
        grid: int | tuple[int, int] | None = None,
        mean: float | Sequence[float] | None = None,
        std: float | Sequence[float] | None = None,
        size: int | tuple[int, int] | None = None,
        autocast: torch.dtype | None = None,
    ) -> None:
        from dalimix.heatmaps.hooks import find_module

        _check_autocast(autocast)
        _check_scaling(mean, std)
        self.model, self.layer, self.autocast = model, layer, autocast
        self.mean, self.std = mean, std
        self.grid, self.size = _pair("grid", grid), _pair("size", size)
        self._module = find_module(model, layer)

    def __call__(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Run the model on one batch.

        Args:
            images: uint8 or floating, [B, C, H, W] of any strides, on the model's device. Not modified.
            labels: integer [B] or [B, 1], on the same device; read by `ClassActivationHeatmap` only.

        Returns:
            float32 [B, gh, gw], contiguous, on the same device, without a gradient.

        Raises:
            TypeError, ValueError: images or labels are not as described, or lie on another device than the model; the
                layer did not run, or gave something that is no map of the images.
            Exception: whatever the model raises.
        """
        return self.observe(images, labels)[0]

    def observe(self, images: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Any]:
        """As a call, and in the same run: ``(heatmaps, output)``, the output as the model returned it.

        What the model says of the images is then known, too, without running it twice.
        """
        import torch

        from dalimix.heatmaps.hooks import evaluating, lock_of
        from dalimix.heatmaps.pixels import check_images, check_units, model_input

        check_images(images, self.model)
        check_units(images, self.std)
        precision = _precision(images.device.type, self.autocast)
        with torch.no_grad(), torch.autocast(images.device.type, enabled=False):  # whatever the caller has set
            pixels = model_input(images, self.model, self.size, self.mean, self.std)
            with lock_of(self.model), evaluating(self.model), self._watch(len(images)) as seen, precision:
                output = self.model(pixels)
            heatmaps = self._heatmaps(seen, output, labels, pixels)
        return heatmaps.detach().float().contiguous(), output

    @abstractmethod
    def _watch(self, batch_size: int) -> AbstractContextManager[Any]:
        """While it is entered, what the layer does is seen; it gives what was seen."""

    @abstractmethod
    def _heatmaps(self, seen: Any, output: Any, labels: Tensor | None, pixels: Tensor) -> Tensor:
        """[B, gh, gw] of what was seen and what the model returned for `pixels`."""


def _check_autocast(dtype: object) -> None:
    import torch

    if dtype not in (None, torch.float16, torch.bfloat16):
        raise ValueError(f"autocast must be torch.float16, torch.bfloat16 or None, got {dtype!r}")


def _check_scaling(mean: Any, std: Any) -> None:
    """As far as it can be told before the images and their number of channels are there."""
    checks.scaling(mean, std, max(np.size(mean), np.size(std)))


def _precision(device_type: str, dtype: torch.dtype | None) -> AbstractContextManager[Any]:
    """Autocast to `dtype`; if that is None, as autocast is set at the time of this call.

    The cache is off: before PyTorch mended it (its issue 112583), weights that were cast under no_grad stayed in it,
    and a training step around this call got no gradient for them.
    """
    import torch

    enabled = dtype is not None or torch.is_autocast_enabled(device_type)
    dtype = dtype or torch.get_autocast_dtype(device_type)
    return torch.autocast(device_type, dtype=dtype, enabled=enabled, cache_enabled=False)


def _pair(name: str, given: int | tuple[int, int] | None) -> tuple[int, int] | None:
    if given is None:
        return None
    pair = given if isinstance(given, Sequence) else (given, given)
    whole = len(pair) == 2 and all(is_whole(n) for n in pair)
    if not whole or min(pair) < 1:
        raise ValueError(f"{name} must be one whole number from 1, or two (rows, columns), got {given!r}")
    return int(pair[0]), int(pair[1])
