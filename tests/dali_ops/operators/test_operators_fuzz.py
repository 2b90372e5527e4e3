"""Anything at any argument of the operators: it is taken, or refused by name, and never an error of somebody else."""

from dataclasses import fields, replace
from functools import partial

import numpy as np
import nvidia.dali.experimental.dynamic as ndd
import pytest
from nvidia.dali import fn
from nvidia.dali.pipeline import Pipeline

import dali_ops
import dalimix
from dali_ops import dynamic
from dalimix import AttentiveCutMix, CutMix, Draws, RandomChoice, TokenMix
from tests.support.fuzz.hostile import complaint, values
from tests.support.fuzz.rounds import times
from tests.support.pipelines import images_and_labels
from tests.support.stores import store_of

MAPS = np.random.default_rng(0).random((6, 4, 4), np.float32)
OPTIONS = ["heatmaps", "num_classes", "mirror", "mean", "std", "dtype", "layout", "output_layout"]
OPTIONS += ["smoothing", "form", "return_plan", "seed", "device"]
SHORTCUTS = ["mixup", "cutmix", "attentive_cutmix", "token_mix", "smmix"]


@pytest.fixture
def graph():
    """A pipeline that is being defined, and never built."""
    with Pipeline(batch_size=6, num_threads=1, device_id=None):
        yield


def faults(call, names, always=()):
    """What is wrong with how `call` takes values at each of its arguments, one at a time."""
    tried = [(name, value) for name in names for value in values()]
    found = [(name, value, complaint(partial(call, **{name: value}), [name, *always])) for name, value in tried]
    return [f"{name}={value!r}: {text}" for name, value, text in found if text]


@pytest.mark.parametrize("method", [CutMix(), TokenMix()], ids=["CutMix", "TokenMix"])
def test_mix(graph, method):
    images, labels = images_and_labels()
    given = {"images": images, "labels": labels, "method": method, "num_classes": 6}
    assert faults(lambda **own: dali_ops.mix(**{**given, **own}), ["images", "labels", "method", *OPTIONS]) == []


def test_mix_takes_two_wrong_arguments(graph):
    rng, all_values, (images, labels) = np.random.default_rng(0), values(), images_and_labels()
    for _ in range(times(1500)):
        own = {OPTIONS[k]: all_values[rng.integers(len(all_values))] for k in rng.choice(len(OPTIONS), 2, False)}
        text = complaint(partial(dali_ops.mix, images, labels, CutMix(), **own), own)
        assert text is None, f"{own}: {text}"


@pytest.mark.parametrize("name", SHORTCUTS)
def test_shortcuts(graph, name):
    images, labels = images_and_labels()
    given = {"images": images, "labels": labels, "num_classes": 6}
    if name in ("attentive_cutmix", "smmix"):
        given["heatmaps"] = fn.constant(fdata=[1.0] * 196, shape=[14, 14])
    shortcut = getattr(dali_ops, name)
    assert faults(lambda **own: shortcut(**{**given, **own}), ["images", "labels", *OPTIONS]) == []
    with pytest.raises(TypeError, match="got unknown keywords .'nonsense'"):
        shortcut(images, labels, nonsense=1)


def test_model_heatmaps(graph):
    pytest.importorskip("torch")
    images, labels = images_and_labels()
    given = {"images": images, "provider": lambda images, labels=None: images, "labels": labels}
    names = ["images", "provider", "labels", "predictions", "layout", "device"]
    assert faults(lambda **own: dali_ops.model_heatmaps(**{**given, **own}), names) == []


def test_stored_heatmaps(graph, tmp_path):
    store = store_of(tmp_path / "store", ["a.png"], np.ones((1, 4, 4)))
    number, point = fn.constant(idata=0, shape=[]), fn.constant(fdata=[0.0, 1.0])
    given = {"index": number, "store": store, "anchor": point, "shape": point, "image_shape": point}
    assert faults(lambda **own: dali_ops.stored_heatmaps(**{**given, **own}), [*given, "grid", "device"]) == []


@pytest.mark.parametrize("name", ["method", "batch_size", "rng"])
def test_draws_of_dynamic_mode(name):
    given = {"method": RandomChoice(), "batch_size": 6}
    assert faults(lambda **own: dynamic.draw(**{**given, **own}), [name]) == []


DYNAMIC = ["batch", "labels", "method", *OPTIONS[:-2], "draws", "rng", "device"]


@pytest.mark.parametrize("name", DYNAMIC)
def test_mix_of_dynamic_mode(name):
    """For real, unlike the others; a value may be told as what it is taken for."""
    method, maps = (TokenMix(grid=4), {"heatmaps": MAPS}) if name == "heatmaps" else (CutMix(), {})
    batch = ndd.as_batch(np.zeros((6, 8, 8, 3), np.uint8), layout="HWC")
    given = {"batch": batch, "labels": np.arange(6), "method": method, "num_classes": 6, **maps}
    assert faults(lambda **own: dynamic.mix(**{**given, **own}), [name], {"num_classes": ["label"]}.get(name, [])) == []


def test_heatmaps_of_dynamic_mode_that_are_needed():
    batch = ndd.as_batch(np.zeros((6, 8, 8, 3), np.uint8), layout="HWC")
    given = {"batch": batch, "labels": np.arange(6), "method": AttentiveCutMix(3, grid=4), "num_classes": 6}
    assert faults(lambda **own: dynamic.mix(**{**given, **own}), ["heatmaps"]) == []


@pytest.mark.parametrize("field", [field.name for field in fields(Draws)])
def test_draws_that_are_made_by_hand(field):
    method = TokenMix(grid=4, alpha=1.0)
    batch, drawn = ndd.as_batch(np.zeros((6, 8, 8, 3), np.uint8), layout="HWC"), dalimix.draw(method, 6, 0)

    def call(value):
        draws = replace(drawn, **{field: value})
        return dynamic.mix(batch, np.arange(6), method, num_classes=6, draws=draws)

    found = [complaint(partial(call, value), ["draws", field]) for value in values()]
    assert [text for text in found if text] == []


def test_batches_of_anything():
    for shape in [(), (3,), (8, 8), (8, 8, 3), (2, 8, 8, 3), (0, 8, 3), (8, 8, 0)]:
        for dtype in ("bool", "int8", "uint8", "uint16", "int64", "float16", "float32", "float64"):
            batch = ndd.as_batch(np.zeros((6, *shape), dtype))
            text = complaint(partial(dynamic.mix, batch, np.arange(6), CutMix(), num_classes=6), ["batch", "images"])
            assert text is None, f"{shape} {dtype}: {text}"
