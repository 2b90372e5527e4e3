"""dali_ops.dynamic: the same numbers as in a pipeline, from batches of DALI's dynamic mode."""

import gc
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import nvidia.dali.experimental.dynamic as ndd
import pytest
from nvidia.dali import fn, types

import dali_ops
import dalimix
from dali_ops import dynamic
from dali_ops.assets.photos import make_photo_folder
from dali_ops.operators.draws import draw, flatten, unflatten
from dali_ops.operators.mixer import Mixer
from dalimix import AttentiveCutMix, CutMix, Draws, MixPlan
from tests.support.backends import device_fixture, use_host_kernels
from tests.support.data.at_random import random_images
from tests.support.dynamic import (
    MAPS,
    METHODS,
    MIRROR,
    TOKENS,
    a_batch,
    array,
    equal,
    flat,
    maps_for,
    mixed,
    numbers,
    rng_of,
)
from tests.support.memory import used
from tests.support.pipelines import BATCH, SIZE, build, images_and_labels, run
from tests.support.project import examples

SEED = 5
NORMALISE = {"mean": [123.7, 116.3, 103.5], "std": [58.4, 57.1, 57.4], "dtype": types.FLOAT16}
OPTIONS = [
    {"num_classes": BATCH},
    {"num_classes": BATCH, "mirror": MIRROR, "output_layout": "CHW", "smoothing": 0.1, **NORMALISE},
    {"form": "pair", "mirror": 1, "mean": 5.0},
]

device = device_fixture("gpu")


def in_pipeline(method, device, **options):
    """What a pipeline gave, and the draws that it gave it of: an own seed gives the same ones twice."""

    def constant(value):
        return fn.external_source(lambda: list(value), batch=True) if isinstance(value, np.ndarray) else value

    def body():
        given = {name: constant(value) for name, value in options.items()}
        images, labels = images_and_labels(layout=options.get("layout", "HWC"))
        mixed = dali_ops.mix(images, labels, method, return_plan=True, seed=SEED, device=device, **given)
        return (*flat(mixed), *flatten(draw(method, SEED)))

    outputs, count = run(build(body, device=device))[0], len(flatten(dalimix.draw(method, 1)))
    return outputs[:-count], unflatten(method, iter(outputs[-count:]))


@pytest.mark.parametrize("options", OPTIONS, ids=["plain", "normalised", "pair"])
@pytest.mark.parametrize("method", METHODS, ids=repr)
def test_equals_the_pipeline(device, method, options):
    options = {**options, **maps_for(method)}
    expected, draws = in_pipeline(method, device, **options)
    outputs = dynamic.mix(a_batch(), numbers(), method, draws=draws, return_plan=True, device=device, **options)
    assert isinstance(outputs[2], MixPlan)
    for batch, want in zip(flat(outputs), expected, strict=True):
        assert isinstance(batch, ndd.Batch)
        assert batch.device.device_type == device
        got = array(batch)
        assert got.dtype == want.dtype
        assert np.array_equal(got, want)
    assert outputs[0].layout == options.get("output_layout", "HWC")
    assert not np.array_equal(array(outputs[2].partner), np.arange(BATCH))


def test_channels_first(device):
    expected, draws = in_pipeline(CutMix(), device, num_classes=BATCH, layout="CHW", output_layout="HWC")
    options: dict[str, Any] = {"num_classes": BATCH, "output_layout": "HWC", "draws": draws, "device": device}
    images, _ = dynamic.mix(a_batch("CHW"), numbers(), CutMix(), **options)
    assert images.layout == "HWC"
    assert np.array_equal(array(images), expected[0])


def test_the_plan_tells_what_was_done():
    options: dict[str, Any] = {"num_classes": BATCH, "heatmaps": MAPS, "return_plan": True}
    images, targets, plan = dynamic.mix(a_batch(), numbers(), METHODS[7], **options)
    plan = MixPlan(*map(array, plan.arrays()))
    assert np.array_equal(array(images), dalimix.compose(random_images(BATCH, *SIZE), plan))
    assert np.array_equal(array(targets), dalimix.soft_labels(np.arange(BATCH), plan, BATCH))


def test_tokens_are_labelled_by_areas_without_heatmaps():
    expected, draws = in_pipeline(TOKENS, "cpu", num_classes=BATCH)
    _, targets = dynamic.mix(a_batch(), numbers(), TOKENS, num_classes=BATCH, draws=draws)
    assert np.array_equal(array(targets), expected[1])


def test_the_kernels_give_what_the_loops_for_the_cpu_give(monkeypatch):
    draws = dalimix.draw(METHODS[7], BATCH, 0)
    on_cpu = mixed(draws=draws)
    use_host_kernels(monkeypatch)
    assert equal(on_cpu, mixed(draws=draws))


def kinds_of(values):
    torch = pytest.importorskip("torch")
    return {
        "batch": ndd.as_batch(values),
        "samples": ndd.as_batch(list(values)),
        "tensor": ndd.as_tensor(values),
        "numpy": values,
        "numpy, strided": np.repeat(values, 2, axis=0)[::2],
        "torch": torch.from_numpy(values.copy()),
        "list": values.tolist(),
    }


@pytest.mark.parametrize("kind", ["batch", "samples", "tensor", "numpy", "numpy, strided", "torch", "list"])
def test_all_but_the_images_may_be_any_arrays(kind, device):
    draws = dalimix.draw(TOKENS, BATCH, 0)
    if kind == "numpy, strided" and device == "gpu":
        pytest.skip("DALI moves no strided arrays")

    given = {"labels": np.arange(BATCH, dtype=np.int32), "heatmaps": MAPS, "mirror": MIRROR[:, 0], "draws": draws}

    def result(**changed):
        options: dict[str, Any] = {"num_classes": BATCH, "return_plan": True, "device": device, **given, **changed}
        return [array(batch) for batch in flat(dynamic.mix(a_batch(), method=TOKENS, **options))]

    for name in ("labels", "heatmaps", "mirror"):
        assert equal(result(), result(**{name: kinds_of(given[name])[kind]}))
    if kind not in ("list", "numpy, strided"):  # which are no draws
        put = {name: kinds_of(values)[kind] for name, values in vars(draws).items() if isinstance(values, np.ndarray)}
        assert equal(result(), result(draws=Draws(**{**vars(draws), **put})))


def test_soft_labels_go_in():
    soft, draws = np.random.default_rng(1).random((BATCH, 3), np.float32), dalimix.draw(CutMix(), BATCH, 0)
    _, targets = dynamic.mix(a_batch(), ndd.as_batch(soft), CutMix(), draws=draws)
    assert np.array_equal(array(targets), dalimix.soft_labels(soft, dalimix.plan(CutMix(), draws, SIZE)))
    assert targets.dtype == ndd.float32


def test_nothing_is_copied_on_the_cpu(monkeypatch):
    seen = []

    def spy(self, *inputs, outputs=Mixer.outputs):
        arrays = outputs(self, *inputs)
        seen.extend([inputs[0], arrays[0]])
        return arrays

    monkeypatch.setattr(Mixer, "outputs", spy)
    batch = a_batch()
    mixed, _ = dynamic.mix(batch, numbers(), CutMix(), num_classes=BATCH)
    for handed, inside in zip((batch, mixed), seen, strict=True):
        assert np.shares_memory(np.asarray(ndd.as_tensor(handed)), inside)
    assert not seen[0].flags.writeable


def test_a_batch_without_a_layout():
    plain = ndd.as_batch(random_images(BATCH, *SIZE))
    draws = dalimix.draw(CutMix(), BATCH, 0)
    options: dict[str, Any] = {"num_classes": BATCH}
    images, _ = dynamic.mix(plain, numbers(), CutMix(), draws=draws, **options)
    assert (plain.layout, images.layout) == (None, "HWC")
    first = ndd.as_batch(random_images(BATCH, *SIZE).transpose(0, 3, 1, 2).copy())
    channels_first, _ = dynamic.mix(first, numbers(), CutMix(), draws=draws, layout="CHW", **options)
    assert channels_first.layout == "CHW"
    assert np.array_equal(array(channels_first).transpose(0, 2, 3, 1), array(images))


@pytest.mark.parametrize("dtype", [ndd.float16, types.FLOAT16, np.float16, "fp16"], ids=str)
def test_names_of_the_output_type(dtype):
    assert dynamic.mix(a_batch(), numbers(), CutMix(), num_classes=BATCH, dtype=dtype)[0].dtype == ndd.float16


@pytest.mark.parametrize("mode", ["deferred", "eager", "sync_cpu"])
def test_between_operators(mode):
    """Batches that DALI has yet to make, and one that DALI goes on with."""
    with getattr(ndd.EvalMode, mode):
        grown = ndd.resize(a_batch(), size=[16, 16])
        labels = ndd.cast(numbers(np.uint8), dtype=ndd.int64)
        images, targets = dynamic.mix(grown, labels, CutMix(), num_classes=BATCH, rng=rng_of(1))
        brighter = ndd.cast(images, dtype=ndd.int32) + 1
    assert brighter.layout == "HWC"
    assert np.array_equal(array(brighter), array(images).astype(np.int32) + 1)
    assert array(targets).sum() == BATCH


def test_threads_do_not_meet():
    """Each has a context of its own; DALI's generators are not for sharing."""
    alone = [mixed(rng=rng_of(seed)) for seed in range(6)]
    with ThreadPoolExecutor(3) as threads:
        together = list(threads.map(lambda seed: mixed(rng=rng_of(seed)), range(6)))
    assert all(equal(*both) for both in zip(alone, together, strict=True))


def test_outputs_outlive_what_they_were_made_of():
    kept, sums = [], []
    for seed in range(20):
        images, _ = dynamic.mix(a_batch(seed=seed), numbers(), CutMix(), num_classes=BATCH)
        kept.append(images)
        sums.append(int(array(images).sum()))
    gc.collect()
    assert [int(array(images).sum()) for images in kept] == sums
    assert len(set(sums)) == 20


def test_memory_does_not_grow():
    """Over 300 calls, after some to warm up. An input that is kept would cost 300 × 295 kB, an output more."""
    options: dict[str, Any] = {
        "num_classes": BATCH,
        "mean": 1.0,
        "mirror": MIRROR,
        "heatmaps": MAPS,
        "return_plan": True,
    }
    for calls in (50, 300):
        before = used()
        for _ in range(calls):
            batch = ndd.as_batch(np.full((BATCH, 128, 128, 3), 7, np.uint8), layout="HWC")
            dynamic.mix(batch, numbers(), AttentiveCutMix(3, grid=4), **options)
    assert used() - before < 8 << 20


def test_the_example(tmp_path, monkeypatch, capsys):
    """As a newcomer runs it; and on a folder, where the loss falls."""
    pytest.importorskip("torch")
    pytest.importorskip("skimage")
    out = examples.run("dynamic_mode.py").splitlines()
    assert out[0] == "6 classes, batches of 16"
    assert len(out) == 4
    examples.load("dynamic_mode.py", monkeypatch).train(make_photo_folder(tmp_path / "photos"))
    losses = [float(value) for value in re.findall(r"loss (\S+),", capsys.readouterr().out)]
    assert len(losses) == 3
    assert losses[-1] < losses[0]
