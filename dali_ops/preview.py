"""What a method does to real images: batches with their plans, drawn as a contact sheet."""

from __future__ import annotations

from typing import Any

import numpy as np
from nvidia.dali import fn, pipeline_def

from dali_ops.folder import ImageFolder, name_unreadable
from dali_ops.mix import mix
from dali_ops.pipelines import random_crop
from dali_ops.sheet import SheetRow, rows_of_batch
from dalimix import Method, MixPlan

BATCH = 32


def preview(folder: ImageFolder, method: Method, device: str, *, count: int, size: int, seed: int) -> list[SheetRow]:
    """Run one batch through a pipeline with `method`, and pick `count` images of it for a sheet.

    Args:
        folder: what to read.
        method: what to show.
        device: ``"cpu"`` or ``"gpu"``.
        count: how many rows, fewer if the batch has no more that are mixed.
        size: side of the images in pixels.
        seed: of crops and mixes.
    """
    images, mixed, targets, *plan = _run_once(folder, method, device, size, seed)
    return rows_of_batch(type(method).__name__, images, mixed, MixPlan(*plan), targets, folder.classes, count)


def _run_once(folder: ImageFolder, method: Method, device: str, size: int, seed: int) -> list[np.ndarray]:
    runtime = {"num_threads": 2, "device_id": 0 if device == "gpu" else None, "seed": seed}
    batch_size = min(BATCH, len(folder.files))
    pipeline = _preview_pipeline(folder.shuffled(seed), method, device, size, batch_size=batch_size, **runtime)
    try:
        outputs = pipeline.run()
    except RuntimeError as error:
        name_unreadable(error, folder.files)
        raise
    return [(output.as_cpu() if device == "gpu" else output).as_array() for output in outputs]


@pipeline_def
def _preview_pipeline(folder: ImageFolder, method: Method, device: str, size: int) -> tuple[Any, ...]:
    encoded, labels = fn.readers.file(files=folder.files, labels=folder.labels)
    images = random_crop(encoded, size, device)
    mixed, targets, plan = mix(images, labels, method, num_classes=len(folder.classes), return_plan=True, device=device)
    return (images, mixed, targets, *plan.arrays())
