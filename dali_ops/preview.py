"""What methods do to real images: batches with their plans, for a contact sheet."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from nvidia.dali import pipeline_def

from dali_ops.device import default_id
from dali_ops.feed import Feed
from dali_ops.mix import mix
from dali_ops.model_heatmaps import model_heatmaps
from dali_ops.order import Order
from dali_ops.reading import random_crop
from dali_ops.sheet import SheetRow, rows_of_batch
from dali_ops.sources import ImageFolder
from dali_ops.sources.unreadable import refuse_unreadable
from dali_ops.teacher import teacher_for
from dalimix import Method, MixPlan
from dalimix.heatmaps import HeatmapProvider

BATCH = 32
SMALLEST = 0.5  # share of a photograph's area: in training it may be so small that nobody could tell what it shows


def preview(
    folder: ImageFolder, methods: Iterable[Method], device: str, *, count: int, size: int, seed: int
) -> list[SheetRow]:
    """Run a batch through a pipeline with every method, and pick `count` images of each for a sheet.

    Args:
        folder: what to read.
        methods: what to show; those that read heatmaps get them from `dali_ops.teacher`.
        device: ``"cpu"`` or ``"gpu"``.
        count: how many rows for a method, fewer if the batch has no more that are mixed.
        size: side of the images in pixels.
        seed: of crops and mixes.
    """
    return [row for method in methods for row in _rows(folder, method, device, count, size, seed)]


def _rows(folder: ImageFolder, method: Method, device: str, count: int, size: int, seed: int) -> list[SheetRow]:
    images, mixed, targets, *rest = _run_once(folder, method, device, size, seed)
    heatmaps = rest.pop() if method.reads_heatmaps else None
    plan, name = MixPlan(*rest), type(method).__name__
    return rows_of_batch(name, images, mixed, plan, targets, folder.classes, count, heatmaps)


def _run_once(folder: ImageFolder, method: Method, device: str, size: int, seed: int) -> list[np.ndarray]:
    batch_size = min(BATCH, len(folder))
    runtime = {"batch_size": batch_size, "num_threads": 2, "device_id": default_id(device), "seed": seed}
    runtime |= {"prefetch_queue_depth": 1}  # no more than one batch
    feed = Feed(folder, Order(len(folder), batch_size, training=True, seed=seed))
    pipeline = _preview_pipeline(feed, method, device, size, teacher_for(method, device), **runtime)
    try:
        outputs = pipeline.run()
    except RuntimeError as error:
        refuse_unreadable(error, folder, feed.numbers(0, 0), pipeline.device_id)
        raise
    return [(output.as_cpu() if device == "gpu" else output).as_array() for output in outputs]


@pipeline_def
def _preview_pipeline(
    feed: Feed, method: Method, device: str, size: int, provider: HeatmapProvider | None
) -> tuple[Any, ...]:
    encoded, labels = feed.read(feed.source.class_numbers)
    images, _ = random_crop(encoded, size, device, SMALLEST)
    heatmaps = None if provider is None else model_heatmaps(images, provider, device=device)
    options = {"num_classes": len(feed.source.classes), "heatmaps": heatmaps, "return_plan": True, "device": device}
    mixed, targets, plan = mix(images, labels, method, **options)
    return (images, mixed, targets, *plan.arrays(), *(() if heatmaps is None else (heatmaps,)))
