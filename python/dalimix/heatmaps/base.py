"""What all providers of heatmaps share: how a model is run, and that it is left as it was."""

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


class ModelHeatmap(ABC):
    """``heatmaps = provider(images, labels=None)``: a model is run, and one of its modules is watched.

    The model runs under no_grad and in eval mode. Afterwards it is as it was: modes, hooks, weights, statistics.
    Several threads, such as those of pipelines, may share a model; but none may train it meanwhile. A copy or pickle
    of a provider holds a copy of the model. `torch.compile` around a call leaves it outside of the graph.

    Args:
        model: any PyTorch model of image batches [B, C, H, W].
        layer: name of the module to watch, as in ``model.named_modules()``; ``""`` is the model itself.
        grid: how the image's tokens lie, g or (gh, gw); None: the largest square. Tokens before them (class token,
            registers) are left out. Feature maps need no grid.
        mean, std: what the model was trained with, per channel or one number, in the units of the images handed in, as
            in DALI's ``crop_mirror_normalize``: for pixels 0 … 255, 255 times what is common for 0 … 1. None: the
            images are not normalised, because they are already, or the model does it. Numbers, arrays or tensors.
        size: the model's input size in pixels, side or (H, W); the images are resized to it (bilinear, antialiased).
            None: as the images come.
        autocast: ``torch.float16`` or ``torch.bfloat16``, to run the model in, or the name of one; None: as it is
            around the call.

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
        mean: PerChannel | None = None,
        std: PerChannel | None = None,
        size: int | tuple[int, int] | None = None,
        autocast: torch.dtype | str | None = None,
    ) -> None:
        from dalimix.heatmaps.hooks import find_module

        find_module(model, layer)
        self.model, self.layer = model, layer
        self.autocast = autocast_dtype(autocast)
        self.mean, self.std = normalisation(mean, std)
        self.grid, self.size = sides("grid", grid), sides("size", size)
        self._units_fit = False  # until images were seen that tell

    @property
    def _module(self) -> nn.Module:
        """By its name, so that of a copied model it is that of the copy."""
        return self.model.get_submodule(self.layer)

    @uncompiled
    def __call__(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Run the model on one batch.

        Args:
            images: uint8 or floating, [B, C, H, W] of any strides, on the model's device. Not modified.
            labels: integer [B] or [B, 1], on the same device; read by `ClassActivationHeatmap` only.

        Returns:
            float32 [B, gh, gw], contiguous, on the same device, without a gradient.

        Raises:
            TypeError, ValueError: images or labels are not as described, or lie on another device than the model; the
                layer did not run, or gave something that is no map of the images. Mean and std are of other units than
                the images: for uint8 that is known; floating images on the CPU are looked at until it is.
            Exception: whatever the model raises.
        """
        return self.observe(images, labels)[0]

    @uncompiled
    def observe(self, images: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Any]:
        """As a call, and in the same run: ``(heatmaps, output)``, the output as the model returned it.

        What the model says of the images is then known, too, without running it twice.
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

    @abstractmethod
    def _watch(self, batch_size: int) -> AbstractContextManager[Any]:
        """While it is entered, what the layer does is seen; it gives what was seen."""

    @abstractmethod
    def _heatmaps(self, seen: Any, output: Any, labels: Tensor | None, pixels: Tensor) -> Tensor:
        """[B, gh, gw] of what was seen and what the model returned for `pixels`."""


def _precision(device_type: str, dtype: torch.dtype | None) -> AbstractContextManager[Any]:
    """Autocast to `dtype`; if that is None, as autocast is set at the time of this call.

    The cache is off: before PyTorch mended it (its issue 112583), weights that were cast under no_grad stayed in it,
    and a training step around this call got no gradient for them.
    """
    import torch

    enabled = dtype is not None or torch.is_autocast_enabled(device_type)
    dtype = dtype or torch.get_autocast_dtype(device_type)
    chosen: AbstractContextManager[Any] = torch.autocast(device_type, dtype=dtype, enabled=enabled, cache_enabled=False)
    return chosen
