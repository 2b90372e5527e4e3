"""The pipelines behind the loader: from files to batches that a model takes."""

from __future__ import annotations

from typing import Any

from nvidia.dali import fn, pipeline_def

from dali_ops.folder import ImageFolder
from dali_ops.guides import Guide, StoreGuide
from dali_ops.mix import mix
from dali_ops.reading import read, scalar, whole_image
from dalimix import Method

NO_HEATMAPS = Guide()
RESIZE_FOR_CROP = 256 / 224  # validation: shorter side before the centre crop, over the side of the crop


@pipeline_def
def training_pipeline(
    folder: ImageFolder,
    method: Method | None,
    size: int,
    device: str,
    normalise: dict[str, Any],
    options: dict[str, Any],
    guide: Guide | StoreGuide = NO_HEATMAPS,
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
    images, labels, heatmaps = guide.samples(folder, size, device)
    mirror = fn.random.coin_flip()
    if method is None:
        return fn.crop_mirror_normalize(images, mirror=mirror, **normalise), labels
    options = {"heatmaps": heatmaps, "mirror": mirror, "device": device, **normalise, **options}
    mixed, targets = mix(images, labels, method, **options)
    return (mixed, *targets) if isinstance(targets, tuple) else (mixed, targets)


@pipeline_def
def validation_pipeline(folder: ImageFolder, size: int, device: str, normalise: dict[str, Any]) -> tuple[Any, ...]:
    """In order; centre crop; class numbers."""
    encoded, labels = read(folder, shuffle=False)
    images = fn.resize(whole_image(encoded, device), resize_shorter=round(size * RESIZE_FOR_CROP))
    return fn.crop_mirror_normalize(images, crop=(size, size), **normalise), scalar(labels, device)
