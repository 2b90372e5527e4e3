"""The pipelines behind the loader: from files to batches that a model takes."""

from __future__ import annotations

from typing import Any

from nvidia.dali import fn, pipeline_def
from nvidia.dali.data_node import DataNode

from dali_ops.loader.decoding import centre_crop
from dali_ops.loader.feed import Feed
from dali_ops.loader.heatmap_sources import Guide, Samples, StoreGuide
from dali_ops.operators import bridge
from dali_ops.operators.augment import Augment, with_checked_units
from dali_ops.operators.mix import mix
from dalimix import Method, MixPlan

NO_HEATMAPS = Guide()


@pipeline_def
def training_pipeline(
    feed: Feed,
    method: Method | None,
    size: int,
    device: str,
    normalise: dict[str, Any],
    options: dict[str, Any],
    guide: Guide | StoreGuide = NO_HEATMAPS,
    keep_info: bool = False,
    augment: Augment | None = None,
) -> tuple[Any, ...]:
    """Random crop and flip as in ImageNet recipes; mixed by `method`, if there is one.

    Args:
        feed: what to read.
        method: None for plain batches with class numbers.
        size: side of the square output, in pixels.
        device: ``"cpu"`` or ``"gpu"``.
        normalise: mean, std, dtype and output_layout, as of `dali_ops.mix`.
        options: further keywords for `dali_ops.mix`.
        guide: where heatmaps come from, for methods that read them.
        keep_info: with a method, its plan and what it was made of are outputs, too, in the order of
            `dali_ops.loader.outputs.Outputs`.
        augment: from the node of cropped images to one of the same shape; None: nothing. DALI's automatic augmentations
            need ``enable_conditionals``, which every pipeline takes.
    """
    samples = guide.samples(feed, size, device, augment)
    mirror = fn.random.coin_flip()
    if method is None:
        images, labels = samples.images, samples.labels
        if augment is not None:
            labels = with_checked_units(labels, images, normalise["mean"], normalise["std"])
        return fn.crop_mirror_normalize(images, mirror=mirror, **normalise), labels
    options = {"heatmaps": samples.heatmaps, "mirror": mirror, "return_plan": keep_info, "device": device, **options}
    mixed, targets, *plan = mix(samples.images, samples.labels, method, **normalise, **options)
    info = _info(samples, *plan) if keep_info else ()
    return (mixed, *(targets if isinstance(targets, tuple) else (targets,)), *info)


def _info(samples: Samples, plan: MixPlan) -> tuple[DataNode, ...]:
    own = (samples.labels, *plan.arrays())
    return own if samples.predictions is None else (*own, samples.predictions)


@pipeline_def
def validation_pipeline(feed: Feed, size: int, device: str, normalise: dict[str, Any]) -> tuple[Any, ...]:
    """Centre crop; class numbers."""
    encoded, labels = feed.read(feed.source.class_numbers)
    images = centre_crop(encoded, size, device)
    return fn.crop_mirror_normalize(images, **normalise), bridge.moved(labels, device)
