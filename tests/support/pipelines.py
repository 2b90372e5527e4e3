"""Small DALI pipelines for the tests, fed from memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from nvidia.dali import fn, pipeline_def

from dali_ops.operators import bridge
from tests.support.backends import use_host_kernels
from tests.support.data.at_random import random_images
from tests.support.same import same

BATCH, SIZE = 6, (32, 48)


def images_and_labels(batch: int = BATCH, dtype: str = "uint8", channels: int = 3, layout: str = "HWC") -> Any:
    """Nodes: always the same images, labels int32 [1] as from a reader: 0, 1, 2, …"""
    pictures = random_images(batch, *SIZE, channels, dtype)
    if layout == "CHW":
        pictures = pictures.transpose(0, 3, 1, 2).copy()
    numbers = np.arange(batch, dtype=np.int32)[:, None]
    images = fn.external_source(lambda: list(pictures), layout=layout, batch=True)
    return images, fn.external_source(lambda: list(numbers), batch=True)


def build(body: Callable[[], Any], batch: int = BATCH, device: str = "cpu", **options: Any) -> Any:
    """A pipeline whose graph `body` defines."""
    options = {"seed": 11, "num_threads": 2, "device_id": 0 if device == "gpu" else None, **options}

    @pipeline_def(batch_size=batch, **options)
    def pipeline() -> Any:
        return body()

    return pipeline()


def run(pipeline: Any, times: int = 1) -> list[list[np.ndarray]]:
    """The outputs of some iterations, as NumPy arrays."""
    return [[array(output) for output in pipeline.run()] for _ in range(times)]


def array(output: Any) -> np.ndarray:
    return np.array((output.as_cpu() if hasattr(output, "as_cpu") else output).as_array())


def resumes(make: Callable[..., Any], before: int = 3, after: int = 3) -> bool:
    """Whether a pipeline that goes on from a checkpoint gives what would have come next; `make` takes options of it."""
    pipeline = make(enable_checkpointing=True)
    run(pipeline, before)
    checkpoint = pipeline.checkpoint()
    return same(run(pipeline, after), run(make(enable_checkpointing=True, checkpoint=checkpoint), after))


def all_ways_agree(body: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether whole batches, samples one by one, and the kernels give the same."""
    whole = run(build(body), 3)
    with monkeypatch.context() as patched:
        patched.setattr(bridge, "_WholeBatch", None)
        by_sample = run(build(body), 3)
    use_host_kernels(monkeypatch)
    return same(whole, by_sample) and same(whole, run(build(body), 3))
