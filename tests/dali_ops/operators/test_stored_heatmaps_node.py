"""stored_heatmaps as a node: what it refuses, where its work is done, and under conditionals."""

import numpy as np
import pytest
from nvidia.dali import fn, types

import dali_ops
from dali_ops.operators import bridge
from dalimix.stores import HeatmapStore
from tests.support.pipelines import build, run
from tests.support.stores import store_of

COUNT = 24


@pytest.fixture
def store(tmp_path):
    return store_of(
        tmp_path / "store", [f"{k}.png" for k in range(COUNT)], np.random.default_rng(0).random((COUNT, 8, 8))
    )


BAD = [
    ({"store": "a/path"}, TypeError, "store must be a HeatmapStore, as from HeatmapStore.open(path), got 'a/path'"),
    ({"grid": 0}, ValueError, "grid must be a whole number from 1 to 64, got 0"),
    ({"grid": 65}, ValueError, "grid must be a whole number from 1 to 64, got 65"),
    ({"index": 3}, TypeError, "index must be a pipeline node, such as that of a reader or a decoder, got int"),
    ({"image_shape": (8, 8)}, TypeError, "image_shape must be a pipeline node"),
    ({"anchor": 1}, ValueError, "anchor and shape come together: one of them is None"),
    ({"device": "tpu"}, ValueError, "device must be 'cpu' or 'gpu', got 'tpu'"),
]


@pytest.mark.parametrize(("given", "error", "message"), BAD, ids=[case[2] for case in BAD])
def test_bad_arguments(store, given, error, message):
    def body():
        number = fn.external_source(lambda: [np.int64(0)], batch=True)
        crop = {"anchor": fn.constant(fdata=[0.0, 0.0]), "shape": None} if "anchor" in given else {}
        return dali_ops.stored_heatmaps(**{"index": number, "store": store, **given, **crop})

    with pytest.raises(error) as caught:
        build(body, batch=1)
    assert message in str(caught.value)


@pytest.mark.parametrize(("index", "shape", "message"), [(24, 1.0, "index 24 of sample 0"), (3, 0.0, "box of sample")])
def test_bad_data_are_named(store, index, shape, message):
    def body():
        number = fn.external_source(lambda: [np.int64(index)], batch=True)
        crop = fn.constant(fdata=[0.0, 0.0]), fn.constant(fdata=[shape, shape])
        return dali_ops.stored_heatmaps(number, store, *crop)

    with pytest.raises(RuntimeError, match=message):
        run(build(body, batch=1))


@pytest.mark.parametrize(
    ("limit", "calls"),
    [
        (COUNT * 64, [("StoredHeatmaps", "gpu", ["gpu", "gpu"])]),
        (COUNT * 64 - 1, [("GatherHeatmaps", "cpu", ["cpu"]), ("StoredHeatmaps", "gpu", ["gpu", "gpu"])]),
    ],
    ids=["resident", "gathered"],
)
def test_where_the_maps_are_cut_on_a_gpu(store, limit, calls, monkeypatch):
    """The graph alone: which callbacks there are, on which device, with inputs on which."""
    pytest.importorskip("cupy")
    seen = []

    def whole_batch(function, inputs, num_outputs, device, layouts, *, name):
        seen.append((name, device, [node.device for node in inputs]))
        return [inputs[0]]

    monkeypatch.setattr(bridge, "whole_batch", whole_batch)
    limited = HeatmapStore.open(store.path, gpu_limit=limit)

    def body():
        return dali_ops.stored_heatmaps(
            fn.external_source(lambda: [np.array([0], np.int32)], batch=True), limited, device="gpu"
        )

    from nvidia.dali import pipeline_def

    pipeline_def(body)(batch_size=1, num_threads=1, device_id=0)
    assert seen == calls


def test_under_conditionals(store):
    def body():
        number = fn.external_source(lambda: [np.array([k], np.int32) for k in range(6)], batch=True)
        if fn.random.coin_flip(dtype=types.BOOL):
            heatmaps = dali_ops.stored_heatmaps(number, store)
        else:
            heatmaps = fn.constant(fdata=[-1.0] * 64, shape=[8, 8])
        return heatmaps

    from nvidia.dali import pipeline_def

    pipeline = pipeline_def(body, enable_conditionals=True)(batch_size=6, num_threads=2, device_id=None, seed=4)
    maps, kept = store.read(np.arange(6)), 0
    for (heatmaps,) in run(pipeline, 5):
        chosen = heatmaps[:, 0, 0] != -1
        assert np.array_equal(heatmaps[chosen], maps[chosen])
        kept += chosen.sum()
    assert 5 < kept < 25
