"""Batches of DALI's dynamic mode, the methods that mix them, and what comes out."""

from __future__ import annotations

from typing import Any

import numpy as np
import nvidia.dali.experimental.dynamic as ndd

from dali_ops import dynamic
from dalimix import AttentiveCutMix, CutMix, Method, Mixup, RandomChoice, SMMix, TokenMix
from tests.support.data.at_random import random_images
from tests.support.pipelines import BATCH, SIZE

MAPS = np.random.default_rng(0).random((BATCH, 4, 4), np.float32)
MIRROR = np.array([[0], [1], [1], [0], [0], [1]], np.int32)
TOKENS = TokenMix(grid=4, min_tokens=2)
METHODS = [
    Mixup(),
    CutMix(per="pair", prob=0.7),
    CutMix(ratio_minmax=(0.2, 0.6), pairing="roll"),
    AttentiveCutMix((3, 9), grid=4),
    TOKENS,
    TokenMix(alpha=1.0, grid=4, min_tokens=2, blocks=False),
    SMMix(grid=4),
    RandomChoice([Mixup(0.3), TOKENS, SMMix(grid=4), RandomChoice([CutMix(), AttentiveCutMix(3, grid=4)])]),
    RandomChoice([CutMix(), Mixup()], p=[0.2, 0.8], per="batch"),
]


def a_batch(layout: str = "HWC", **options: Any) -> Any:
    pictures = random_images(BATCH, *SIZE, **options)
    pictures = pictures if layout == "HWC" else pictures.transpose(0, 3, 1, 2).copy()
    return ndd.as_batch(pictures, layout=layout)


def numbers(dtype: Any = np.int32) -> Any:
    return ndd.as_batch(np.arange(BATCH, dtype=dtype)[:, None])


def array(batch: Any) -> np.ndarray:
    return np.array(ndd.as_tensor(batch.cpu()))


def flat(outputs: Any) -> list[Any]:
    """Images, targets and plan one after the other."""
    images, targets, *plan = outputs
    targets = targets if isinstance(targets, tuple) else (targets,)
    return [images, *targets, *(values for part in plan for values in part.arrays())]


def maps_for(method: Method) -> dict[str, np.ndarray]:
    return {"heatmaps": MAPS} if method.reads_heatmaps else {}


def rng_of(seed: int) -> Any:
    return ndd.random.RNG(seed=seed)


def mixed(method: Method | None = None, **options: Any) -> list[np.ndarray]:
    method = method or METHODS[7]
    options = {"num_classes": BATCH, "return_plan": True, **maps_for(method), **options}
    return [array(batch) for batch in flat(dynamic.mix(a_batch(), numbers(), method, **options))]


def equal(first: Any, second: Any) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
