"""The pipelines behind the loader: from files to batches that a model takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nvidia.dali import fn, pipeline_def, types
from nvidia.dali.data_node import DataNode

from dali_ops.folder import ImageFolder
from dali_ops.mix import mix
from dali_ops.model_heatmaps import model_heatmaps
from dalimix import Method
from dalimix.heatmaps import HeatmapProvider

READER = "reader"
RESIZE_FOR_CROP = 256 / 224  # validation: shorter side before the centre crop, over the side of the crop


@dataclass(frozen=True)
class Guide:
    """Where heatmaps come from: ``provider(images)``, or with `labelled` ``provider(images, labels)``."""

    provider: HeatmapProvider
    labelled: bool = False

    def heatmaps(self, images: DataNode, labels: DataNode, device: str) -> DataNode:
        return model_heatmaps(images, self.provider, labels if self.labelled else None, device=device)


@pipeline_def
def training_pipeline(
    folder: ImageFolder,
    method: Method | None,
    size: int,
    device: str,
    normalise: dict[str, Any],
    options: dict[str, Any],
    guide: Guide | None = None,
) -> tuple[Any, ...]:
    """Shuffled after every epoch; random crop and flip as in ImageNet recipes; mixed by `method`, if there is one.

    Args:
        folder: what to read, in the order of the first epoch.
        method: None for plain batches with class numbers.
        size: side of the square output, in pixels.
        device: ``"cpu"`` or ``"gpu"``.
        normalise: mean, std, dtype and output_layout, as of `dali_ops.mix`.
        options: further keywords for `dali_ops.mix`.
        guide: where heatmaps come from, for methods that read them.
    """
    encoded, labels = _read(folder, shuffle=True)
    images, labels = random_crop(encoded, size, device), _scalar(labels, device)
    mirror = fn.random.coin_flip()
    heatmaps = None if guide is None else guide.heatmaps(images, labels, device)
    if method is None:
        return fn.crop_mirror_normalize(images, mirror=mirror, **normalise), labels
    options = {"heatmaps": heatmaps, "mirror": mirror, "device": device, **normalise, **options}
    mixed, targets = mix(images, labels, method, **options)
    return (mixed, *targets) if isinstance(targets, tuple) else (mixed, targets)


@pipeline_def
def validation_pipeline(folder: ImageFolder, size: int, device: str, normalise: dict[str, Any]) -> tuple[Any, ...]:
    """In order; centre crop; class numbers."""
    encoded, labels = _read(folder, shuffle=False)
    images = fn.decoders.image(encoded, device=_decoder(device), output_type=types.RGB)
    images = fn.resize(images, resize_shorter=round(size * RESIZE_FOR_CROP))
    return fn.crop_mirror_normalize(images, crop=(size, size), **normalise), _scalar(labels, device)


def random_crop(encoded: DataNode, size: int, device: str, smallest: float = 0.08) -> DataNode:
    """Decode a random part, from the share `smallest` of the area to all of it, and resize it to `size` × `size`."""
    area = {"random_area": [smallest, 1.0]}
    images = fn.decoders.image_random_crop(encoded, device=_decoder(device), output_type=types.RGB, **area)
    return fn.resize(images, size=[size, size])


def _read(folder: ImageFolder, shuffle: bool) -> tuple[DataNode, DataNode]:
    return fn.readers.file(
        name=READER,
        files=folder.files,
        labels=folder.labels,
        shuffle_after_epoch=shuffle,
        pad_last_batch=True,  # what is filled up is cut off again; nothing of the next epoch is used up
    )


def _decoder(device: str) -> str:
    return "mixed" if device == "gpu" else "cpu"


def _scalar(labels: DataNode, device: str) -> DataNode:
    """int64 scalars on the device of the images, which losses want; the reader gives int32 [1] on the CPU."""
    scalars = fn.cast(fn.squeeze(labels, axes=0), dtype=types.INT64)
    return scalars.gpu() if device == "gpu" else scalars
