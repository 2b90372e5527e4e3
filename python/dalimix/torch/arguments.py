"""Checks of the batch that a mixer gets. No pixel, label or heatmap is read, so the host waits for no GPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from dalimix import checks
from dalimix.draws import Draws
from dalimix.heatmaps.arguments import described
from dalimix.heatmaps.graphs import refuse_transform
from dalimix.heatmaps.tensors import FLOATING, UNNEST, WHOLE, same_device

PIXELS = (torch.uint8, torch.float16, torch.bfloat16, torch.float32)
NAMES = "uint8, float16, bfloat16 or float32"
DEVICES = ("cpu", "cuda")


def images(given: Any, layout_name: str) -> None:
    """Check a batch in the layout `layout_name`, on a device where it can be mixed."""
    _tensor("images", given, f"a tensor of dtype {NAMES}", _remedy_for_images(given))
    if given.dtype not in PIXELS:
        remedy = ": hand in images.float()" if given.is_floating_point() else ""
        raise TypeError(f"images must be a tensor of dtype {NAMES}, got {given.dtype}{remedy}")
    if given.ndim != 4 or 0 in given.shape:
        remedy = checks.batch_remedy(given.shape, layout_name)
        raise ValueError(f"images must be a batch [B, {', '.join(layout_name)}], got {[*given.shape]}{remedy}")
    if given.device.type not in DEVICES:
        raise ValueError(f"images must be on the CPU or on a CUDA device, got {given.device}: hand in images.cpu()")
    checks.proper_layout(given.shape, layout_name)


def _remedy_for_images(given: Any) -> str:
    arrays = "dalimix.draw, plan, compose and soft_labels mix arrays; or torch.from_numpy(images)"
    return arrays if type(given).__module__ == "numpy" else ""


def labels(given: Any, batch: Tensor) -> None:
    """Check one label for each of the images, on their device."""
    size, whose = len(batch), "integer [B] or floating [B, classes]"
    _tensor("labels", given, f"a tensor, {whose}", _remedy_for_labels(given))
    numbers = given.dtype in WHOLE and (given.ndim == 1 or given.shape[1:] == (1,))
    soft = given.dtype in FLOATING and given.ndim == 2
    if not (numbers or soft):
        raise ValueError(f"labels must be {whose}, got {described(given)}{_form_of_labels(given)}")
    checks.batch("labels", given, size)
    same_device("labels", given, "images", batch, ": hand in labels.to(images.device)")


def _remedy_for_labels(given: Any) -> str:
    if type(given).__module__ == "numpy":
        return "hand in torch.from_numpy(labels)"
    strings = isinstance(given, str) or (isinstance(given, (list, tuple)) and any(isinstance(n, str) for n in given))
    if strings:
        return "number the classes, such as names.index(label), and hand in torch.tensor(labels)"
    return "hand in torch.tensor(labels)" if isinstance(given, (list, tuple)) else ""


def _form_of_labels(given: Tensor) -> str:
    """What to do with class indices that are floating, and with several classes per image that are not."""
    if given.ndim == 1:
        return ": class indices are labels.long()"
    return ": several classes an image are labels.float()" if given.ndim == 2 and given.dtype not in FLOATING else ""


def heatmaps(given: Any, batch: Tensor) -> None:
    """Check one map for each of the images, on their device; `dalimix.plan` checks what the method needs."""
    provider = "hand in provider(images), not the provider" if callable(given) else ""
    model = "hand in provider(images), of a provider such as FeatureHeatmap(model, layer)"
    expected = "a tensor [B, h, w], such as provider(images)"
    _tensor("heatmaps", given, expected, model if isinstance(given, nn.Module) else provider)
    if given.dtype not in FLOATING:
        raise TypeError(f"heatmaps must be floating, got {given.dtype}")
    if given.ndim != 3 or 0 in given.shape:
        remedy = ": features become heatmaps by heatmaps.mean(1), as FeatureHeatmap does it" if given.ndim == 4 else ""
        raise ValueError(f"heatmaps must be [{len(batch)}, h, w], one for each image, got {[*given.shape]}{remedy}")
    checks.batch("heatmaps", given, len(batch))
    same_device("heatmaps", given, "images", batch, ": hand in heatmaps.to(images.device)")


def draws(given: Any, batch: Tensor) -> None:
    if not isinstance(given, Draws):
        raise TypeError(f"draws must be dalimix.Draws, as from dalimix.draw, or None, got {given!r}")
    if len(given.partner) != len(batch):
        raise ValueError(f"draws are of a batch of {len(given.partner)}, but images has batch size {len(batch)}")


def _tensor(name: str, given: Any, expected: str, remedy: str) -> None:
    """Check a tensor with plain memory: not sparse, not nested, and not part of a graph."""
    if not isinstance(given, Tensor):
        raise TypeError(f"{name} must be {expected}, got {described(given)}" + (f": {remedy}" if remedy else ""))
    refuse_transform(name, given)
    if given.is_nested:
        raise TypeError(f"{name} must be {expected}, got a nested tensor: {UNNEST.format(name)}")
    if given.layout != torch.strided:
        raise TypeError(f"{name} must be {expected}, got one with layout {given.layout}: hand in {name}.to_dense()")
