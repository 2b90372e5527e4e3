"""Peers of `bench_peers.py`: DALI's own operators for the same work, in a pipeline like ours.

A box is pasted by `multi_paste`; images are blended by `permute_batch` and arithmetic. Both are normalised by
`crop_mirror_normalize`, and labels made by `one_hot`. DALI is told boxes and λ, which ours draws in its pipeline.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from nvidia.dali import fn, pipeline_def, types

from benchmarks.tensors import CLASSES, MEAN, SMOOTHING, STD
from dali_ops import mix
from dali_ops.device import default_id
from dalimix import CutMix, Method, MixPlan

OURS, OWN, ALONE = "ours", "DALI's own operators", "crop_mirror_normalize alone"
TYPES = {"float16": types.FLOAT16, "float32": types.FLOAT}
CALCULATED = ("labels", "share", "rest")  # on the device of the images; all other numbers are arguments, on the CPU
Batch = tuple[Any, np.ndarray, MixPlan]  # images on the device; labels and what DALI is told, of NumPy


def pipelines(method: Method, dtype: str, batches: list[Batch], device: str) -> dict[str, Any]:
    """Each gives the batches once, and again after every reset."""
    normalise = {"mean": MEAN, "std": STD, "dtype": TYPES[dtype], "output_layout": "CHW"}
    own = pasted if isinstance(method, CutMix) else blended
    bodies = {OURS: partial(mixed, method, normalise), OWN: partial(own, normalise), ALONE: partial(alone, normalise)}
    rows = [told(*batch) for batch in batches]
    ready = {name: [row[name] for row in rows] for name in rows[0]}
    return {name: built(body, ready, device) for name, body in bodies.items()}


def built(body: Callable[..., Any], ready: dict[str, list[Any]], device: str) -> Any:
    """On the CPU with one thread, as all have there. What `body` does not use is not fed."""
    threads = 1 if device == "cpu" else min(os.cpu_count() or 1, 8)
    around = {"batch_size": len(ready["labels"][0]), "num_threads": threads, "device_id": default_id(device)}

    @pipeline_def(**around, seed=0)  # type: ignore[untyped-decorator]
    def pipeline() -> Any:
        images = source(ready["images"], layout="HWC", device=device, no_copy=True)
        nodes = {name: source(batches) for name, batches in ready.items() if name != "images"}
        if device == "gpu":
            nodes |= {name: nodes[name].gpu() for name in CALCULATED}
        return body(images, **nodes)

    return pipeline()


def source(batches: list[Any], **options: Any) -> Any:
    return fn.external_source(batches, batch=True, cycle="raise", **options)


def told(images: Any, labels: np.ndarray, plan: MixPlan) -> dict[str, Any]:
    """All that the pipelines are fed with. A paste is the whole of an image, and then a box of its partner."""
    count, start = len(labels), plan.box[:, :2]
    whole = np.broadcast_to(np.array(plan.size, np.int32), (count, 2))
    share, rest = np.ascontiguousarray(plan.weight.T)
    return {
        "images": images,
        "labels": labels,
        "partner": plan.partner,
        "share": share,
        "rest": rest,
        "givers": np.stack([np.arange(count, dtype=np.int32), plan.partner], 1),
        "starts": np.stack([np.zeros_like(start), start], 1),
        "shapes": np.stack([whole, plan.box[:, 2:] - start], 1),
    }


def mixed(method: Method, normalise: dict[str, Any], images: Any, labels: Any, **_: Any) -> Any:
    return mix(images, labels, method, num_classes=CLASSES, smoothing=SMOOTHING, **normalise)


def alone(normalise: dict[str, Any], images: Any, labels: Any, **_: Any) -> Any:
    return fn.crop_mirror_normalize(images, **normalise), labels


def pasted(normalise: dict[str, Any], images: Any, givers: Any, starts: Any, shapes: Any, **others: Any) -> Any:
    pixels = fn.multi_paste(images, in_ids=givers, in_anchors=starts, shapes=shapes, out_anchors=starts)
    return fn.crop_mirror_normalize(pixels, **normalise), soft(**others)


def blended(normalise: dict[str, Any], images: Any, partner: Any, share: Any, rest: Any, labels: Any, **_: Any) -> Any:
    pixels = images * share + fn.permute_batch(images, indices=partner) * rest
    return fn.crop_mirror_normalize(pixels, **normalise), soft(labels, partner, share, rest)


def soft(labels: Any, partner: Any, share: Any, rest: Any) -> Any:
    off = SMOOTHING / CLASSES
    own = fn.one_hot(labels, num_classes=CLASSES, on_value=1 - SMOOTHING + off, off_value=off, dtype=types.FLOAT)
    return own * share + fn.permute_batch(own, indices=partner) * rest
