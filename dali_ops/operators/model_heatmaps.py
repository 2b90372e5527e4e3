"""Heatmaps of a PyTorch model that runs inside the pipeline."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from inspect import signature
from typing import TYPE_CHECKING, Any

from nvidia.dali.data_node import DataNode

from dali_ops.decorators import plain_python
from dali_ops.operators import bridge
from dali_ops.operators.nodes import NodeLayout, check_decoded, check_node, device_of, facts
from dalimix import checks

if TYPE_CHECKING:
    from torch import Tensor

    from dalimix.heatmaps import HeatmapProvider


@plain_python  # plain Python, also where the pipeline around it is rewritten for conditionals
def model_heatmaps(
    images: DataNode,
    provider: HeatmapProvider,
    labels: DataNode | None = None,
    *,
    predictions: bool = False,
    layout: checks.Layout | None = None,
    device: Any = None,
) -> DataNode | tuple[DataNode, DataNode]:
    """Run a provider of heatmaps on every batch, for methods that read them: ``mix(…, heatmaps=model_heatmaps(…))``.

    The model gets DALI's own memory, uncopied, and on the GPU works on DALI's stream; no gradient is recorded. (On the
    GPU the heatmaps are copied once into DALI's memory, like every output of the bridge.) The model must be on the
    device of the images. DALI works ahead in its own thread, so nothing may train the model meanwhile; for heatmaps
    of the model under training, let a `dalimix.heatmaps.SnapshotHeatmap` run copies of it:
    ``SnapshotHeatmap(provider, every=k)``.

    Args:
        images: uint8 or floating samples, [H, W, C] or [C, H, W], all of one size; not mirrored, not normalised.
        provider: a provider of `dalimix.heatmaps`; or any ``provider(images)``, and with labels ``provider(images,
            labels)``, that takes tensors, [B, C, H, W] and integer [B], which it must neither modify nor keep, and
            returns a tensor [B, h, w].
        labels: integer class indices, scalars or [1], for providers that read them.
        predictions: return the model's output for the images, too, from the same run, as ``provider.observe`` gives it;
            if it is several tensors, the first.
        layout: of the images, ``"HWC"`` or ``"CHW"``; None: that of the node, or ``"HWC"`` if it has none.
        device: ``"cpu"``, ``"gpu"``, ``"cuda"`` or a torch.device; None: that of the images.

    Returns:
        float32 samples [h, w]; with `predictions` ``(heatmaps, predictions)``, the second float32 samples [C].

    Raises:
        TypeError, ValueError: arguments are out of range, or `predictions` are wanted of a provider without
            ``observe``, raised here; or the provider fails or returns something else, raised when the pipeline runs, as
            DALI's RuntimeError with the message inside.
        RuntimeError: no pipeline is being defined.
        ModuleNotFoundError: ``device="gpu"`` without CuPy; torch is missing.

    Examples:
        >>> @pipeline_def(batch_size=4, num_threads=2, device_id=None)
        ... def training():
        ...     images, labels = read(folder)
        ...     provider = FeatureHeatmap(cnn, "features", mean=127.5, std=64.0)
        ...     return model_heatmaps(images, provider, predictions=True)
        >>> heatmaps, predictions = training().run()
        >>> heatmaps.shape()[0], predictions.shape()[0]
        ((8, 8), (3,))
    """
    predictions = checks.flag("predictions", predictions)
    _check_provider(provider, predictions)
    checks.layouts(layout=layout)
    check_node("images", images)
    if labels is not None:
        check_node("labels", labels)
        check_takes_labels("labels", provider)
    bridge.current_pipeline("model_heatmaps", "; elsewhere call the provider itself, with tensors")
    device = device_of(device, images)
    nodes = [images, labels, facts(layout, images, labels=labels)]
    moved = [bridge.moved(node, device) for node in nodes if node is not None]
    callback = _Callback(provider, NodeLayout(layout), predictions, labels is not None)
    count = 2 if predictions else 1
    outputs = bridge.whole_batch(callback, moved, count, device, [""] * count, name="ModelHeatmaps", tensors=True)
    return (outputs[0], outputs[1]) if predictions else outputs[0]


@dataclass(frozen=True)
class _Callback:
    """The callback: whole batches in, heatmaps out, and predictions if they are asked for."""

    provider: Any
    layout: NodeLayout
    predictions: bool
    labelled: bool

    def __call__(self, images: Tensor, *others: Tensor) -> Sequence[Tensor]:
        import torch

        rest = [_class_indices(labels, images) for labels in others[: self.labelled]]
        channels_first = self._channels_first(images, *others[self.labelled :])
        with torch.no_grad():
            if not self.predictions:
                return [_heatmaps(self.provider(channels_first, *rest), images)]
            heatmaps, output = self.provider.observe(channels_first, *rest)
            return [_heatmaps(heatmaps, images), _predictions(output, images)]

    def _channels_first(self, images: Tensor, rows: Tensor | None = None) -> Tensor:
        layout = self.layout.of(rows, images.shape)
        check_decoded(images)
        if images.ndim != 4:
            raise ValueError(f"images must be a batch [B, {', '.join(layout)}], got shape {list(images.shape)}")
        checks.proper_layout(images.shape, layout)
        return images if layout == "CHW" else images.permute(0, 3, 1, 2)


def refuse_model(name: str, given: Any, remedy: str = "give a provider of dalimix.heatmaps") -> None:
    """Refuse a model in the place of a provider of heatmaps, or of heatmaps themselves.

    Args:
        name: the argument's name.
        given: its value.
        remedy: what to give instead.

    Raises:
        TypeError: it is a model.
    """
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(given, torch.nn.Module):
        kinds = "FeatureHeatmap(model, layer), AttentionHeatmap(model, layer) or ClassActivationHeatmap(model, layer)"
        raise TypeError(f"{name} is a model, {type(given).__name__}, of which nobody knows where its heatmaps are: "
                        f"{remedy}, such as {kinds}")  # fmt: skip


def check_takes_labels(name: str, provider: Any) -> None:
    """Refuse labels for a provider that can only be called as ``provider(images)``.

    Args:
        name: the argument that hands it labels.
        provider: the provider.

    Raises:
        TypeError: it cannot be called with labels.
    """
    try:
        signature(provider).bind("images", "labels")
    except ValueError:  # what is written in C may not tell
        return
    except TypeError:
        called = getattr(provider, "__qualname__", type(provider).__name__)
        raise TypeError(f"{name}: the provider {called} takes no labels; "
                        "give one that is called as provider(images, labels)") from None  # fmt: skip


def _check_provider(provider: Any, predictions: bool) -> None:
    refuse_model("provider", provider)
    kind = type(provider).__name__
    if not callable(provider) or isinstance(provider, type):
        raise TypeError(f"a provider of heatmaps must be callable, as those of dalimix.heatmaps, got {kind}")
    if predictions and not callable(getattr(provider, "observe", None)):
        raise TypeError(f"predictions=True needs a provider with observe, as those of dalimix.heatmaps, got {kind}")


def _class_indices(labels: Tensor, images: Tensor) -> Tensor:
    if labels.numel() != len(images):
        raise ValueError(f"labels must be one class index for each image, got {list(labels.shape)}")
    return labels.reshape(len(images))


def _heatmaps(returned: Any, images: Tensor) -> Tensor:
    """Check what a provider returned, and return it as float32 [B, h, w]."""
    return _checked(returned, images, f"provider must return a tensor [{len(images)}, h, w]", ndim=3)


def _predictions(output: Any, images: Tensor) -> Tensor:
    """Check what a model returned, and return it as float32 [B, C]."""
    from dalimix.heatmaps.hooks import first_tensor

    expected = f"for predictions the model must return a tensor [{len(images)}, classes]"
    return _checked(first_tensor(output), images, expected, ndim=2)


def _checked(returned: Any, images: Tensor, expected: str, ndim: int) -> Tensor:
    import torch

    if not isinstance(returned, torch.Tensor):
        raise TypeError(f"{expected}, got {type(returned)}")
    if returned.ndim != ndim or len(returned) != len(images) or 0 in returned.shape:
        raise ValueError(f"{expected}, got {list(returned.shape)}")
    if returned.device != images.device:
        raise ValueError(f"{expected} on {images.device}, got it on {returned.device}")
    return returned.detach().float().contiguous()
