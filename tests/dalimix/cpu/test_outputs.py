"""Memory of outputs on the CPU: used again when nobody can see it any more, and never before."""

from __future__ import annotations

import gc
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import dalimix
from dalimix import CutMix
from dalimix.cpu.outputs import IDLE, IDLE_BYTES, MOST, OUTPUTS, SMALL, Outputs
from tests.support.data.at_random import random_images

SHAPE = (SMALL // 4 + 1,)


def address(array: np.ndarray) -> int:
    return array.ctypes.data


def test_memory_that_was_let_go_is_used_again() -> None:
    outputs = Outputs()
    first = outputs.empty(SHAPE, np.float32)
    where = address(first)
    del first
    assert address(outputs.empty(SHAPE, np.float32)) == where
    assert address(outputs.empty((2, *SHAPE), np.uint16)) == where, "only the number of bytes matters"


@pytest.mark.parametrize(
    "kept",
    [
        pytest.param(lambda array: array, id="array"),
        pytest.param(lambda array: array[3:5], id="view"),
        pytest.param(lambda array: array.reshape(1, -1).T[2:], id="view of a view"),
        pytest.param(lambda array: memoryview(array)[1:2], id="memoryview"),
        pytest.param(lambda array: array.__dlpack__(), id="capsule"),
        pytest.param(lambda array: np.from_dlpack(array)[:7], id="DLPack"),
        pytest.param(lambda array: pytest.importorskip("torch").from_numpy(array)[8:], id="tensor"),
        pytest.param(lambda array: [{"a cycle": array}], id="container"),
    ],
)
def test_memory_that_somebody_keeps_is_not_used_again(kept: Any) -> None:
    outputs = Outputs()
    first = outputs.empty(SHAPE, np.float32)
    where, keeper = address(first), kept(first)
    del first
    others = [outputs.empty(SHAPE, np.float32) for _ in range(3)]
    assert where not in map(address, others)
    del keeper
    gc.collect()
    assert address(outputs.empty(SHAPE, np.float32)) == where


def test_what_is_kept_is_bounded() -> None:
    outputs = Outputs()
    many = [outputs.empty(SHAPE, np.float32) for _ in range(3 * MOST)]
    assert len(outputs) == MOST
    many.clear()
    outputs.empty(SHAPE, np.float32)
    assert len(outputs) <= IDLE + 1


def test_what_nobody_uses_is_bounded_in_bytes() -> None:
    outputs, shape = Outputs(), (IDLE_BYTES // 2 + 1,)
    large = [outputs.empty(shape, np.uint8) for _ in range(2)]
    large.clear()
    outputs.empty(SHAPE, np.float32)
    assert len(outputs) == 2  # one of the large ones is left


def test_who_is_called_in_the_midst_of_it_does_not_wait() -> None:
    """As a `__del__` that the garbage collector calls, or a signal handler."""
    outputs = Outputs()
    with outputs.lock:
        assert outputs.empty(SHAPE, np.float32).shape == SHAPE
    assert len(outputs) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
def test_a_fork_in_the_midst_of_it() -> None:
    with OUTPUTS.lock:
        child = os.fork()
        if not child:
            os._exit(not OUTPUTS.lock.acquire(blocking=False))
    assert os.waitpid(child, 0)[1] == 0


def test_sizes_take_turns() -> None:
    """Images and labels of a batch are of different sizes; neither drives the other out."""
    outputs = Outputs()
    first, second = (address(outputs.empty((n, *SHAPE), np.float32)) for n in (1, 2))
    for _ in range(5):
        assert [address(outputs.empty((n, *SHAPE), np.float32)) for n in (1, 2)] == [first, second]


def test_small_arrays_are_left_to_the_allocator() -> None:
    outputs = Outputs()
    outputs.empty((SMALL // 4 - 1,), np.float32)
    assert len(outputs) == 0


def test_threads_get_memory_of_their_own() -> None:
    outputs = Outputs()

    def work(number: int) -> bool:
        array = outputs.empty(SHAPE, np.float32)
        array[:] = number
        return bool((array == number).all())

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(400)))


def test_batches_that_are_kept_keep_their_pixels() -> None:
    images, method = random_images(8, 128, 128), CutMix()
    plans = [dalimix.plan(method, dalimix.draw(method, 8, seed), 128) for seed in range(20)]
    kept = [dalimix.compose(images, plan, dtype="float32") for plan in plans]
    for plan, batch in zip(plans, kept, strict=True):
        np.testing.assert_array_equal(batch, dalimix.compose(images, plan, dtype="float32"))


def test_a_second_batch_faults_in_no_pages() -> None:
    resource = pytest.importorskip("resource")
    images, method = random_images(8, 256, 256), CutMix()
    plan = dalimix.plan(method, dalimix.draw(method, 8, 0), 256)

    def faults() -> int:
        before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
        dalimix.compose(images, plan, dtype="float32")
        return resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before

    faults()
    pages = 8 * 256 * 256 * 3 * 4 // 4096
    assert min(faults() for _ in range(3)) < pages // 20
