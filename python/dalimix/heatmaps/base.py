"""What all providers of heatmaps share: they run a model and leave it as it was."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, TypeAlias

from dalimix.functional import PerChannel
from dalimix.heatmaps.arguments import normalisation, sides
from dalimix.heatmaps.dtypes import autocast_dtype
from dalimix.support.forks import one_thread
from dalimix.support.uncompiled import uncompiled

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

HeatmapProvider: TypeAlias = Callable[..., "Tensor"]  # provider(images, labels=None) -> float32 [B, gh, gw]
"""Anything callable as ``provider(images, labels=None)``, from images [B, C, H, W] to heatmaps float32 [B, gh, gw].

Examples:
    >>> def brightness(images: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
    ...     return torch.nn.functional.avg_pool2d(images.float().mean(1), 4)
    >>> provider: HeatmapProvider = brightness
    >>> provider(images).shape
    torch.Size([4, 8, 8])
"""


class ModelHeatmap(ABC):
    """``heatmaps = provider(images, labels=None)``: the base of providers that run a model and watch one module.

    The model runs under no_grad and in eval mode. Afterwards it is as it was: modes, hooks, weights, statistics.
    Several threads, such as those of pipelines, may share a model, but none may train it meanwhile. A copy or pickle
    of a provider holds a copy of the model. `torch.compile` around a call leaves it outside of the graph.

    Args:
        model: any PyTorch model of image batches [B, C, H, W].
        layer: name of the module to watch, as in ``model.named_modules()``; ``""`` is the model itself.
        grid: how the image's tokens are arranged, g or (gh, gw); None: the largest square. Tokens before them (class
            token, registers) are left out. Feature maps need no grid.
        mean, std: what the model was trained with, per channel or one number, in the units of the images handed in, as
            in DALI's ``crop_mirror_normalize``: for pixels 0 … 255, 255 times the usual values for 0 … 1. None: the
            images are not normalised, because they already are, or the model does it; bytes are a warning then, unless
            mean=0 and std=1 say so. Numbers, arrays or tensors.
        size: the model's input size in pixels, side or (H, W); the images are resized to it (bilinear, antialiased).
            None: the images keep their size.
        autocast: ``torch.float16`` or ``torch.bfloat16``, to run the model in, or the name of one; None: as it is
            around the call.

    Raises:
        TypeError, ValueError: an argument is not as described. For a wrong name, the error lists the nearest ones.
        ModuleNotFoundError: torch is missing.

    Examples:
        >>> provider = FeatureHeatmap(cnn, "features", mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])
        >>> isinstance(provider, ModelHeatmap), provider(images).shape
        (True, torch.Size([4, 8, 8]))
        >>> FeatureHeatmap(cnn, "feature")
        Traceback (most recent call last):
        ValueError: layer must name a module, but there is no module 'feature' in Sequential; nearest: features...
    """

    def __init__(
        self,
        model: nn.Module,
        layer: str,
        *,
        grid: int | tuple[int, int] | None = None,
        mean: PerChannel | None = None,
        std: PerChannel | None = None,
        size: int | tuple[int, int] | None = None,
        autocast: torch.dtype | str | None = None,
    ) -> None:
        from dalimix.heatmaps.hooks import find_module

        find_module(model, layer, suits=self._suits)
        self.model, self.layer = model, layer
        self.autocast = autocast_dtype(autocast)
        self.mean, self.std = normalisation(mean, std)
        self.grid, self.size = sides("grid", grid), sides("size", size)
        self._units_fit = False  # until images have shown their units

    @property
    def _module(self) -> nn.Module:
        """The watched module, looked up by name, so that a copy of the provider finds that of the copied model."""
        return self.model.get_submodule(self.layer)

    @uncompiled
    def __call__(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Run the model on one batch.

        Args:
            images: uint8 or floating, [B, C, H, W], any strides, on the model's device. Not modified.
            labels: integer [B] or [B, 1], on the same device; read by `ClassActivationHeatmap` only.

        Returns:
            float32 [B, gh, gw], contiguous, on the same device, without a gradient.

        Raises:
            TypeError, ValueError: images or labels are not as described, or are on another device than the model; the
                layer did not run, or its output is not a map of the images. Mean and std are in other units than the
                images: for uint8 the units are known; floating images on the CPU are checked until they show them.
            Exception: whatever the model raises.
        """
        return self.observe(images, labels)[0]

    @uncompiled
    def observe(self, images: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Any]:
        """Run the model as a call does, and return ``(heatmaps, output)``, with the output as the model returned it.

        So heatmaps and predictions come from one run.

        Examples:
            >>> provider = FeatureHeatmap(cnn, "features")
            >>> heatmaps, logits = provider.observe(images)
            >>> heatmaps.shape, logits.shape
            (torch.Size([4, 8, 8]), torch.Size([4, 3]))
        """
        import torch

        from dalimix.heatmaps.hooks import evaluating, lock_of
        from dalimix.heatmaps.pixels import check_images, check_labels, model_input, units_fit

        check_images(images, self.model)
        labels = check_labels(labels, images)
        self._units_fit = self._units_fit or units_fit(images, self.mean, self.std)
        precision = _precision(images.device.type, self.autocast)
        unset = torch.autocast(images.device.type, enabled=False)  # whatever the caller has set
        with torch.no_grad(), unset, one_thread(torch):
            pixels = model_input(images, self.model, self.size, self.mean, self.std)
            with lock_of(self.model), evaluating(self.model), self._watch(len(images)) as seen, precision:
                output = self.model(pixels)
            heatmaps = self._heatmaps(seen, output, labels, pixels)
        return heatmaps.detach().float().contiguous(), output

    @staticmethod
    def _suits(module: nn.Module) -> bool:
        """Whether to recommend the module where another name was given; if none is, the names alone decide."""
        return False

    @abstractmethod
    def _watch(self, batch_size: int) -> AbstractContextManager[Any]:
        """Observe the layer while the context is entered; the value of the context is what was observed."""

    @abstractmethod
    def _heatmaps(self, seen: Any, output: Any, labels: Tensor | None, pixels: Tensor) -> Tensor:
        """Make [B, gh, gw] from what was observed and from the model's output for `pixels`."""


def _precision(device_type: str, dtype: torch.dtype | None) -> AbstractContextManager[Any]:
    """Autocast to `dtype`; if that is None, as autocast is set at the time of this call.

    The cache is off: before PyTorch fixed it (its issue 112583), weights that were cast under no_grad stayed in the
    cache, and a training step around this call got no gradient for them.
    """
    import torch

    enabled = dtype is not None or torch.is_autocast_enabled(device_type)
    dtype = dtype or torch.get_autocast_dtype(device_type)
    chosen: AbstractContextManager[Any] = torch.autocast(device_type, dtype=dtype, enabled=enabled, cache_enabled=False)
    return chosen
