"""What dali_ops.mix refuses: when the pipeline is made, or when it runs."""

from typing import Any

import numpy as np
import pytest
from nvidia.dali import fn, types

import dali_ops
import dali_ops.device
from dali_ops.operators import bridge
from dalimix import AttentiveCutMix, CutMix, TokenMix
from tests.support.pipelines import BATCH, build, images_and_labels, run

CONSTRUCTION = [
    ({"method": "cutmix"}, TypeError, "method must be an instance of a mixing method"),
    ({"device": "tpu"}, ValueError, "device must be 'cpu' or 'gpu', got 'tpu'"),
    ({"form": "sparse"}, ValueError, "form must be 'dense' or 'pair', got 'sparse'"),
    ({"smoothing": 1.5}, ValueError, r"smoothing must be in \[0, 1\], got 1.5"),
    ({"layout": "NHWC"}, ValueError, "layout must be one of .*, got 'NHWC'"),
    ({"output_layout": "HW"}, ValueError, "output_layout must be one of .*, got 'HW'"),
    ({"mirror": 0.5}, TypeError, "mirror must be one for each image, or 0 or 1 for all, got 0.5"),
    ({"mirror": 2}, ValueError, "mirror must be 0 or 1, got 2"),
    ({"mean": float("nan")}, ValueError, "mean must be finite"),
    ({"std": [1.0, 0.0, 1.0]}, ValueError, "std must be finite and above 0"),
    ({"num_classes": 2.5}, ValueError, "num_classes must be a whole number from 1, got 2.5"),
    ({"dtype": "halff"}, TypeError, "dtype must be uint8, float16, bfloat16, float32, got halff"),
    ({"dtype": types.INT32}, TypeError, "dtype must be uint8, float16, bfloat16, float32, got int32"),
    ({"num_classes": 0}, ValueError, "num_classes must be a whole number from 1, got 0"),
    ({"num_classes": 1 << 25}, ValueError, "num_classes must be at most 16777216, got 33554432"),
    ({"dtype": "uint8", "mean": 120, "std": 58}, ValueError, "dtype is uint8, which has no place for normalised"),
    ({"mean": [1, 2, 3], "std": [1, 2, 3, 4]}, ValueError, "mean has 3 entries but std has 4"),
    ({"return_plan": 1}, TypeError, "return_plan must be True or False, got 1"),
    ({"heatmaps": object()}, ValueError, "CutMix reads no heatmaps"),
]


@pytest.mark.parametrize(("options", "error", "message"), CONSTRUCTION, ids=[case[2] for case in CONSTRUCTION])
def test_errors_when_the_pipeline_is_made(options, error, message):
    with pytest.raises(error, match=message):
        build(lambda: dali_ops.mix(*images_and_labels(), **{"method": CutMix(), "num_classes": BATCH, **options}))


def test_flags_of_numpy_are_flags():
    options: Any = {"num_classes": BATCH, "return_plan": np.True_}
    (plan,) = run(build(lambda: dali_ops.cutmix(*images_and_labels(), **options)[2].arrays()))
    assert len(plan) == 5


def test_mean_must_be_numbers():
    with pytest.raises(TypeError, match="mean must be numbers, got a pipeline node"):
        build(lambda: dali_ops.cutmix(*images_and_labels(), num_classes=6, mean=fn.random.uniform(range=[0, 1])))


def test_shortcuts_name_unknown_keywords():
    with pytest.raises(TypeError, match=r"cutmix got unknown keywords \['alhpa'\]; it takes alpha, .*seed"):
        build(lambda: dali_ops.cutmix(*images_and_labels(), alhpa=1.0))  # type: ignore[call-arg]


def test_gpu_without_cupy(monkeypatch):
    monkeypatch.setattr(dali_ops.device, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"device='gpu' needs CuPy: pip install 'cupy-cuda13x\[ctk\]'"):
        build(lambda: dali_ops.cutmix(*images_and_labels(), num_classes=BATCH, device="gpu"))


RUNNING = [
    ({}, {"num_classes": None}, "num_classes is missing: integer labels need it"),
    ({}, {"num_classes": 3}, r"label 3 of sample 3 is outside 0 \.\. 2"),
    ({}, {"mean": [1.0, 2.0]}, "mean has 2 entries but images has 3 channels"),
    ({"layout": "CHW"}, {"layout": "HWC"}, "images has layout 'CHW', but layout is 'HWC': leave layout out"),
]


@pytest.mark.parametrize(("source", "options", "message"), RUNNING, ids=[case[2] for case in RUNNING])
def test_errors_when_the_pipeline_runs(source, options, message):
    def body():
        return dali_ops.cutmix(*images_and_labels(**source), **{"num_classes": BATCH, **options})

    with pytest.raises(RuntimeError, match=message):
        run(build(body))


def ragged(make, **options):
    """A node of samples of which the fifth is another one."""
    return fn.external_source(lambda: [make(1 if k == 4 else 0) for k in range(BATCH)], batch=True, **options)


UNEQUAL = [
    ("images", lambda k: np.zeros((8 + k, 8, 3), np.uint8), r"got \[8, 8, 3\] and \[9, 8, 3\]: resize before mixing"),
    ("labels", lambda k: np.zeros(1 + k, np.int32), r"got \[1\] and \[2\]: all labels of a batch need one shape"),
    ("heatmaps", lambda k: np.zeros((4, 4 + k), np.float32), r"got \[4, 4\] and \[4, 5\]: all heatmaps of a batch"),
]


@pytest.mark.parametrize("executor", [{}, {"exec_dynamic": False}], ids=["dynamic", "static"])
@pytest.mark.parametrize(("name", "make", "message"), UNEQUAL, ids=[case[0] for case in UNEQUAL])
def test_samples_of_different_shapes(way, executor, name, make, message):
    def body():
        images, labels = images_and_labels()
        heatmaps = ragged(lambda k: np.ones((4, 4), np.float32) if name != "heatmaps" else make(k))
        given = {"images": images, "labels": labels, "heatmaps": heatmaps, name: ragged(make)}
        return dali_ops.mix(method=AttentiveCutMix(3, grid=4), num_classes=BATCH, **given)

    with pytest.raises(RuntimeError, match=f"{name} must be of one shape to be mixed, {message}"):
        run(build(body, **executor))


def test_as_many_pixels_in_another_shape():
    def body():
        images = ragged(lambda k: np.zeros((16, 8, 3) if k else (8, 16, 3), np.uint8), layout="HWC")
        return dali_ops.cutmix(images, images_and_labels()[1], num_classes=BATCH)

    with pytest.raises(RuntimeError, match=r"images .*got \[8, 16, 3\] and \[16, 8, 3\]: resize before mixing"):
        run(build(body))


def nodes_of(make, count=BATCH):
    """A node without a layout."""
    return fn.external_source(lambda: [make(k) for k in range(count)], batch=True)


def bytes_of(*shape, dtype=np.uint8):
    return lambda k: np.zeros(shape, dtype)


NO_IMAGES = {
    "encoded": (lambda k: np.zeros(30 + k, np.uint8), r"\[30\] and \[31\]: decode before mixing, as decoders.image"),
    "encoded alike": (bytes_of(30), r"got uint8 \[30\]: decode before mixing, as fn.decoders.image\(images"),
    "grey": (bytes_of(8, 8), r"got uint8 \[8, 8\]: a channel axis is missing, which fn.expand_dims\(images, axes=2\)"),
    "some grey": (lambda k: np.zeros((8, 8, 3 if k else 1), np.uint8), "decode all with output_type=types.RGB"),
    "some grey, CHW": (lambda k: np.zeros((3 if k else 1, 8, 8), np.uint8), "decode all with output_type=types.RGB"),
    "some grey, of other sizes": (lambda k: np.zeros((8 + k, 8, 1 + k % 3), np.uint8),
                                  "output_type=types.RGB, for three channels, and resize before mixing"),
    "int32": (bytes_of(8, 8, 3, dtype=np.int32), r"got int32: cast .*fn.cast\(images, dtype=types.FLOAT\)"),
    "float64": (bytes_of(8, 8, 3, dtype=np.float64), r"images must have dtype .*, got float64: cast before, as"),
    "labels": (bytes_of(1, dtype=np.int32), r"got int32 \[1\]: are images and labels in each other's place\?"),
}  # fmt: skip


@pytest.mark.parametrize("name", NO_IMAGES)
def test_nodes_that_are_not_images_yet(way, name):
    make, message = NO_IMAGES[name]
    with pytest.raises(RuntimeError, match=message):
        run(build(lambda: dali_ops.cutmix(nodes_of(make), images_and_labels()[1], num_classes=BATCH)))


def test_labels_in_the_place_of_images():
    with pytest.raises(RuntimeError, match=r"got uint8 \[32, 48, 3\]: are images and labels in each other's place\?"):
        run(build(lambda: dali_ops.cutmix(nodes_of(np.int32), images_and_labels()[0], num_classes=BATCH)))


def test_what_grey_images_are_told_to_do_helps():
    def body():
        images = fn.expand_dims(nodes_of(bytes_of(8, 8)), axes=2)
        return dali_ops.cutmix(images, images_and_labels()[1], num_classes=BATCH)

    assert run(build(body))[0][0].shape == (BATCH, 8, 8, 1)


NO_LABELS = {
    "images": (bytes_of(8, 8, 3), r"got uint8 \[8, 8, 3\]: are images and labels in each other's place\?"),
    "floating": (bytes_of(dtype=np.float32), r"class indices are fn.cast\(labels, dtype=types.INT64\)"),
    "several classes": (bytes_of(4, dtype=np.int32), r"classes an image are fn.cast\(labels, dtype=types.FLOAT\)"),
}


@pytest.mark.parametrize("name", NO_LABELS)
def test_nodes_that_are_no_labels(way, name):
    make, message = NO_LABELS[name]
    with pytest.raises(RuntimeError, match=message):
        run(build(lambda: dali_ops.cutmix(images_and_labels()[0], nodes_of(make), num_classes=BATCH)))


def test_outside_of_a_pipeline():
    message = "^mix must be called where a pipeline is defined, .*@pipeline_def, .*dali_ops.dynamic.mix$"
    with pytest.raises(RuntimeError, match=message):
        dali_ops.cutmix(*images_and_labels(), num_classes=BATCH)


def test_features_are_no_heatmaps():
    def body():
        features = fn.external_source(lambda: [np.zeros((512, 4, 4), np.float32)] * BATCH, batch=True)
        return dali_ops.attentive_cutmix(*images_and_labels(), heatmaps=features, num_classes=BATCH)

    message = r"heatmaps must be \[6, h, w\], one map for each image, got \[6, 512, 4, 4\]"
    with pytest.raises(RuntimeError, match=message):
        run(build(body))


NO_NODES = [
    ("images", np.zeros((6, 8, 8, 3), np.uint8), "ndarray; for arrays there are dalimix.plan and dalimix.compose, for"),
    ("images", "a/folder", "str$"),
    ("labels", [0, 1, 2], "list$"),
    ("heatmaps", np.zeros((6, 4, 4), np.float32), "ndarray; for arrays there are dalimix.plan"),
]


@pytest.mark.parametrize(("name", "given", "got"), NO_NODES, ids=[f"{case[0]} {case[2]}"[:20] for case in NO_NODES])
def test_what_is_no_node(name, given, got):
    def body():
        images, labels = images_and_labels()
        return dali_ops.mix(**{"images": images, "labels": labels, "method": TokenMix(), "num_classes": 6, name: given})

    with pytest.raises(TypeError, match=f"{name} must be a pipeline node, such as .*, got {got}"):
        build(body)


def test_another_gpu_than_that_of_the_pipeline(monkeypatch):
    monkeypatch.setattr(dali_ops.device, "find_spec", lambda name: name)
    with pytest.raises(ValueError, match="device is 'cuda:1', but the pipeline runs on GPU 0"):
        build(lambda: dali_ops.cutmix(*images_and_labels(), num_classes=6, device="cuda:1"), device_id=0)


def test_a_gpu_node_whose_layout_cannot_be_asked(monkeypatch):
    """Only the graph is made: that needs no GPU."""
    monkeypatch.setattr(dali_ops.device, "find_spec", lambda name: name)
    monkeypatch.setattr(bridge, "whole_batch", lambda function, inputs, count, *_, **__: list(inputs[:count]))

    def body(**options):
        images, labels = images_and_labels()
        return dali_ops.cutmix(fn.copy(images.gpu()), labels, num_classes=6, **options)[1]

    with pytest.raises(ValueError, match="layout must be said, such as layout='HWC', where exec_dynamic=False"):
        build(body, exec_dynamic=False, device_id=0)
    build(lambda: body(layout="HWC"), exec_dynamic=False, device_id=0)
    build(body, device_id=0)
