"""The pipelines behind the loader: from files to batches that a model takes."""

from __future__ import annotations

from typing import Any

from nvidia.dali import fn
from nvidia.dali.data_node import DataNode

from dali_ops.decorators import pipeline_of
from dali_ops.loader.heatmap_sources import HeatmapSource, ModelSource, Samples
from dali_ops.loader.reading.decoding import centre_crop
from dali_ops.loader.reading.feed import Feed
from dali_ops.loader.transforms import Eval, Train, dali_type
from dali_ops.operators import bridge
from dali_ops.operators.augment import with_checked_units
from dali_ops.operators.draws import draw
from dali_ops.operators.mix import mixed
from dali_ops.operators.mixer import Mixer
from dali_ops.operators.nodes import facts
from dali_ops.operators.pixels import Pixels
from dali_ops.operators.stored_heatmaps import Crop
from dali_ops.operators.targets import Targets
from dalimix import Method, MixPlan, Mixup

NO_HEATMAPS = ModelSource()
NO_MIXING = Mixup(prob=0.0)  # keeps the targets in the form that mixing gives


@pipeline_of
def training_pipeline(
    feed: Feed,
    method: Method | None,
    transform: Train,
    targets: Targets,
    device: str,
    heatmap_source: HeatmapSource = NO_HEATMAPS,
    keep_info: bool = False,
) -> tuple[Any, ...]:
    """Random crop and flip; mixed by `method`, if there is one.

    Args:
        feed: what to read.
        method: None for plain batches with class indices.
        transform: what happens to the images. DALI's automatic augmentations need ``enable_conditionals``, which every
            pipeline takes.
        targets: of mixed batches.
        device: ``"cpu"`` or ``"gpu"``.
        heatmap_source: where heatmaps come from, for methods that read them.
        keep_info: with a method, its plan and the parts of the info are outputs, too, in the order of
            `dali_ops.loader.outputs.Outputs`.
    """
    samples = heatmap_source.samples(feed, transform, device)
    mirror = fn.random.coin_flip(probability=transform.flip)
    if method is None and transform.erase is None and not transform.in_bits:
        return _plain(samples, transform, mirror)
    if method is None:
        return _unmixed(samples, len(feed.source.classes), transform, mirror, device)
    images, soft, *plan = _mixed(
        samples, method, len(feed.source.classes), transform, targets, mirror, keep_info, device
    )
    info = _info(samples, bridge.moved(feed.index(), device), *plan) if keep_info else ()
    return (images, *(soft if isinstance(soft, tuple) else (soft,)), *info)


def _unmixed(
    samples: Samples, classes: int, transform: Train | Eval, mirror: DataNode | None, device: str
) -> tuple[DataNode, DataNode]:
    """Images that are not mixed, but need what DALI's operators cannot do: random erasing, bfloat16."""
    pairs = Targets(form="pair")
    images, *_ = _mixed(samples, NO_MIXING, classes, transform, pairs, mirror, False, device)
    return images, samples.labels


def _mixed(
    samples: Samples,
    method: Method,
    classes: int,
    transform: Train | Eval,
    targets: Targets,
    mirror: DataNode | None,
    return_plan: bool,
    device: str,
) -> tuple[Any, ...]:
    """What `mix` does. Only what the user's function returns may be of another layout than crops, or of several."""
    own, erase = (transform.own_augment, transform.erase) if isinstance(transform, Train) else (None, None)
    augmented, heatmaps = own is not None, samples.heatmaps
    cut = heatmaps if isinstance(heatmaps, Crop) else None
    mixer = Mixer(
        method=method,
        num_classes=classes,
        targets=targets,
        pixels=Pixels(**transform.normalise, layout=None if augmented else "HWC"),
        with_heatmaps=heatmaps is not None,
        crop=cut and cut.function,
        mirrored=mirror is not None,
        return_plan=return_plan,
        erase=erase,
        threads=bridge.current_threads(),
    )
    known = facts(None, samples.images) if augmented else None  # they take a millisecond of the CPU
    drawn, seen = draw(method, erase=erase), cut.inputs if cut else [heatmaps]
    return mixed(mixer, samples.images, samples.labels, drawn, *seen, mirror, known, device=device)


def _plain(samples: Samples, transform: Train, mirror: DataNode) -> tuple[DataNode, DataNode]:
    labels = samples.labels
    if transform.own_augment is not None:
        labels = with_checked_units(labels, samples.images, transform.mean, transform.std)
    return _normalised(samples.images, transform, mirror=mirror), labels


def _normalised(images: DataNode, transform: Train | Eval, **more: Any) -> DataNode:
    """By DALI's operator."""
    return fn.crop_mirror_normalize(images, **transform.normalise | {"dtype": dali_type(transform.dtype)}, **more)


def _info(samples: Samples, index: DataNode, plan: MixPlan) -> tuple[DataNode, ...]:
    own = (samples.labels, *plan.arrays(), index)
    return own if samples.predictions is None else (*own, samples.predictions)


@pipeline_of
def validation_pipeline(feed: Feed, transform: Eval, device: str) -> tuple[Any, ...]:
    """Centre crop; class indices."""
    encoded, labels = feed.read(feed.source.class_indices)
    crop, interpolation = transform.crop, transform.interpolation
    images = centre_crop(encoded, transform.sides, device, crop=crop, interpolation=interpolation)
    labels = bridge.moved(labels, device)
    if transform.in_bits:
        return _unmixed(Samples(images, labels), len(feed.source.classes), transform, None, device)
    return _normalised(images, transform), labels
