"""How many images per second a training pipeline delivers."""

from __future__ import annotations

import time
from collections.abc import Callable

from dali_ops.device import default_id
from dali_ops.feed import Feed
from dali_ops.guides import Guide, StoreGuide
from dali_ops.loader_settings import IMAGENET_MEAN, IMAGENET_STD, dali_type
from dali_ops.order import Order
from dali_ops.pipelines import NO_HEATMAPS, training_pipeline
from dali_ops.sources import Source
from dalimix import Method

WARM_UP = 2


def images_per_second(
    source: Source,
    method: Method | None,
    device: str,
    *,
    batch_size: int,
    batches: int,
    num_threads: int,
    size: int = 224,
    guide: Guide | StoreGuide = NO_HEATMAPS,
    advance: Callable[[], object] = lambda: None,
) -> float:
    """Time the training pipeline of `ImageFolderLoader`, from files to finished batches; nobody consumes them.

    Args:
        source: what to read, over and over.
        method: None for plain batches.
        device: ``"cpu"`` or ``"gpu"``.
        batch_size: images per batch.
        batches: how many are timed, after a warm-up that is not.
        num_threads: of DALI on the CPU.
        size: side of the images in pixels.
        guide: where heatmaps come from, for methods that read them.
        advance: called after every timed batch, for a progress bar.
    """
    normalise = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD, "dtype": dali_type("float32"), "output_layout": "CHW"}
    runtime = {"num_threads": num_threads, "device_id": default_id(device), "seed": 0}
    options = {"num_classes": len(source.classes)}
    feed = Feed(source, Order(len(source), batch_size, training=True))
    pipeline = training_pipeline(
        feed, method, size, device, normalise, options, guide, batch_size=batch_size, **runtime
    )  # fmt: skip
    for _ in range(WARM_UP):
        pipeline.run()
    start, images = time.perf_counter(), 0
    for _ in range(batches):
        images += len(pipeline.run()[0])
        advance()
    return images / (time.perf_counter() - start)
