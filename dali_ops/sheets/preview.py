"""What methods do to real images: batches with their plans, for a contact sheet."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from dali_ops.assets.teacher import teacher_for
from dali_ops.decorators import pipeline_of
from dali_ops.device import check_device, default_id
from dali_ops.loader.reading.decoding import random_crop
from dali_ops.loader.reading.feed import Feed
from dali_ops.loader.reading.order import Order
from dali_ops.loader.reading.unreadable import FAILURES
from dali_ops.operators.mix import mix
from dali_ops.operators.model_heatmaps import model_heatmaps
from dali_ops.sheets.rows import SheetRow, rows_of_batch
from dali_ops.sheets.text import readable_classes
from dali_ops.sources import ImageFolder
from dalimix import Method, MixPlan, checks
from dalimix.heatmaps import HeatmapProvider

BATCH = 32
SMALLEST = 0.5  # share of a photograph's area: in training it may be so small that nobody could tell what it shows


def preview(
    folder: ImageFolder,
    methods: Iterable[Method],
    device: str,
    *,
    count: int,
    size: int,
    seed: int,
    skip_corrupt: bool = False,
) -> list[SheetRow]:
    """Run a batch through a pipeline with every method, and pick `count` images of each for a sheet.

    Args:
        folder: what to read.
        methods: what to show; those that read heatmaps get them from `dali_ops.assets.teacher`.
        device: ``"cpu"`` or ``"gpu"``.
        count: how many rows for a method, 32 at most.
        size: side of the images in pixels.
        seed: of crops and mixes, from 0.
        skip_corrupt: leave out images that cannot be read or decoded, instead of an error.

    Raises:
        TypeError, ValueError: an argument is not as described; an image cannot be decoded, by name.
        ModuleNotFoundError: the teacher is missing, or CuPy for the GPU.
    """
    methods, device = _checked(folder, methods), check_device(device)
    checks.counts(count=count, size=size)
    checks.numbers(seed=seed)
    run = {"device": device, "size": size, "seed": seed, "skip_corrupt": checks.flag("skip_corrupt", skip_corrupt)}
    return [row for method in methods for row in _rows(folder, method, count, **run)]


def _checked(folder: object, methods: Iterable[Method]) -> list[Method]:
    checks.kind("folder", folder, ImageFolder, "a dali_ops.sources.ImageFolder")
    if not isinstance(methods, Iterable) or isinstance(methods, np.ndarray):
        raise TypeError(f"methods must be mixing methods, such as [dalimix.CutMix()], got {methods!r}")
    given = list(methods)
    for method in given:
        checks.method(method)
    return given


def _rows(folder: ImageFolder, method: Method, count: int, **run: Any) -> list[SheetRow]:
    images, mixed, targets, *rest = _run_once(folder, method, **run)
    heatmaps = rest.pop() if method.reads_heatmaps else None
    plan, name = MixPlan(*rest), type(method).__name__
    return rows_of_batch(name, images, mixed, plan, targets, readable_classes(folder.classes), count, heatmaps)


def _run_once(
    folder: ImageFolder, method: Method, device: str, size: int, seed: int, skip_corrupt: bool
) -> list[np.ndarray]:
    source = _enough(folder)
    runtime = {"batch_size": BATCH, "num_threads": 2, "device_id": default_id(device), "seed": seed}
    runtime |= {"prefetch_queue_depth": 1}  # no more than one batch
    feed = Feed(source, Order(len(source), BATCH, training=True, seed=seed))
    provider = teacher_for(method, device)
    while True:
        feed.asked(0, 0)  # raises ValueError if no image is left
        pipeline = _preview_pipeline(feed, method, device, size, provider, **runtime)
        try:
            outputs = pipeline.run()
        except FAILURES as error:
            feed = feed.without_unreadable(error, 0, 0, pipeline.device_id, skip_corrupt)
        else:
            return [(output.as_cpu() if device == "gpu" else output).as_array() for output in outputs]


def _enough(folder: ImageFolder) -> ImageFolder:
    """A batch of images at least, each several times if there are few: among one or two, no two may be mixed."""
    few = len(folder) < BATCH
    return folder.picked([number % len(folder) for number in range(BATCH)]) if few else folder


@pipeline_of
def _preview_pipeline(
    feed: Feed, method: Method, device: str, size: int, provider: HeatmapProvider | None
) -> tuple[Any, ...]:
    encoded, labels = feed.read(feed.source.class_indices)
    images, _ = random_crop(encoded, (size, size), device, scale=(SMALLEST, 1.0))
    heatmaps = None if provider is None else model_heatmaps(images, provider, device=device)
    classes = len(feed.source.classes)
    mixed, targets, plan = mix(
        images, labels, method, num_classes=classes, heatmaps=heatmaps, return_plan=True, device=device
    )
    return (images, mixed, targets, *plan.arrays(), *(() if heatmaps is None else (heatmaps,)))
