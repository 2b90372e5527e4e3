"""What must not get slower on the CPU, as ratios by clocks of the CPU: others may have it, as the limits are wide."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from benchmarks.cpu import mixing
from benchmarks.harness import pictures
from benchmarks.methods.masks import moved_masks, plans
from benchmarks.methods.tokenmix_way import Loop
from dalimix import CutMix, Mixup, TokenMix

BATCH, SIZE = 32, 224


def best(*runs: Callable[[int], Any], clock: Callable[[], float] = time.thread_time, rounds: int = 11) -> list[float]:
    """The least seconds of each; they take turns. The first round, in which loops are compiled, does not count."""
    spans = []
    for index in range(rounds + 1):
        spans.append([spent(run, index, clock) for run in runs])
    return np.min(spans[1:], axis=0).tolist()


def spent(run: Callable[[int], Any], index: int, clock: Callable[[], float]) -> float:
    start = clock()
    run(index)
    return clock() - start


@pytest.mark.parametrize("method", [CutMix(), Mixup()], ids=lambda method: method.name)
def test_mixing_keeps_up_with_crop_mirror_normalize(method: Any) -> None:
    """DALI works in threads of its own, so the clock is that of the process. None works ahead in another one's turn."""
    images = pictures(BATCH, SIZE)[:3]
    bodies = (mixing.source_alone, partial(mixing.plain, "float32"), partial(mixing.mixed, method, "float32"))
    blocks = [partial(several, mixing.block(body, images, ahead=1)) for body in bodies]
    source, plain, mixed = best(*blocks, clock=time.process_time)
    assert (plain - source) / (mixed - source) > 0.7


def several(run: Callable[[int], Any], index: int) -> None:
    for _ in range(6):
        run(index)


@pytest.mark.parametrize("dtype", mixing.DTYPES)
@pytest.mark.parametrize("method", [CutMix(), Mixup()], ids=lambda method: method.name)
def test_compose_is_near_a_memcpy(method: Any, dtype: str) -> None:
    inputs = [mixing.given(method, images, seed) for seed, images in enumerate(pictures(BATCH, SIZE)[:3])]
    moved = inputs[0][0].nbytes * (1 + np.dtype(dtype).itemsize)
    ours, copy = best(mixing.composes(inputs, dtype), mixing.memcpy(moved, len(inputs)))
    assert ours / copy < 4


def test_token_masks_are_far_from_the_loop() -> None:
    method = TokenMix()
    ours, loop = best(plans(method, 256, np), moved_masks(Loop(method), 256, np))
    assert loop / ours > 10
