"""HeatmapStore.on: the maps are copied to each device once, and waited for. Stubs stand in for CuPy."""

import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from dalimix.stores import HeatmapStore
from tests.support.stores import store_of


@pytest.fixture
def store(tmp_path: Path) -> HeatmapStore:
    maps = np.random.default_rng(0).random((5, 4, 4))
    return store_of(tmp_path / "store", [f"{k}.png" for k in range(5)], maps)


def stub(log: list[str]) -> Any:
    """A CuPy with two devices that writes down what it is asked to do."""
    state = SimpleNamespace(device=0)

    def asarray(array: np.ndarray) -> np.ndarray:
        log.append(f"copy to {state.device}")
        time.sleep(0.05)
        return np.array(array)

    stream = SimpleNamespace(synchronize=lambda: log.append("wait"))
    runtime = SimpleNamespace(getDevice=lambda: state.device)
    cuda = SimpleNamespace(runtime=runtime, get_current_stream=lambda: stream)
    return SimpleNamespace(__name__="cupy", asarray=asarray, cuda=cuda, state=state)


def test_numpy_gets_the_memory_map_itself(store: HeatmapStore) -> None:
    assert store.on(np) is store.maps


def test_one_copy_on_each_device(store: HeatmapStore) -> None:
    log: list[str] = []
    xp = stub(log)
    first = store.on(xp)
    assert np.array_equal(first, store.maps)
    assert store.on(xp) is first
    xp.state.device = 1
    assert store.on(xp) is not first
    assert log == ["copy to 0", "wait", "copy to 1", "wait"]


def test_threads_share_a_copy(store: HeatmapStore) -> None:
    log: list[str] = []
    xp, copies = stub(log), []
    threads = [threading.Thread(target=lambda: copies.append(store.on(xp))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert log == ["copy to 0", "wait"]
    assert len({id(copy) for copy in copies}) == 1


@pytest.mark.cuda
def test_on_a_gpu(store: HeatmapStore, gpu: None) -> None:
    import cupy

    assert np.array_equal(store.on(cupy).get(), store.maps)
    assert store.on(cupy) is store.on(cupy)


@pytest.mark.cuda
@pytest.mark.parametrize("gpu_limit", [0, 1 << 30], ids=["gathered", "resident"])
def test_in_a_pipeline_on_a_gpu(store: HeatmapStore, gpu_limit: int, gpu: None) -> None:
    pytest.importorskip("nvidia.dali")
    from nvidia.dali import fn

    import dali_ops
    from dalimix.heatmap_crop import heatmap_crop
    from tests.support.pipelines import build, run

    numbers, corner, extent = [4, 0, 2, 2], [0.1, 0.25], [0.5, 0.75]
    limited = HeatmapStore.open(store.path, gpu_limit=gpu_limit)

    def body() -> Any:
        index = fn.external_source(lambda: [np.array([k], np.int32) for k in numbers], batch=True)
        window = fn.constant(fdata=corner), fn.constant(fdata=extent)
        return dali_ops.stored_heatmaps(index, limited, *window, grid=3, device="gpu")

    ((heatmaps,),) = run(build(body, batch=4, device="gpu"))
    boxes = np.array([[*corner, *extent]] * 4, np.float32).astype(np.float64)
    np.testing.assert_array_equal(heatmaps, heatmap_crop(store.maps, np.array(numbers), boxes, 3))
