"""What dali_ops.mix refuses: when the pipeline is made, or when it runs."""

import numpy as np
import pytest

pytest.importorskip("nvidia.dali")
from nvidia.dali import fn, types

import dali_ops
import dali_ops.device
from dalimix import CutMix
from tests.pipelines import BATCH, build, images_and_labels, run

CONSTRUCTION = [
    ({"method": "cutmix"}, TypeError, "method must be an instance of a mixing method"),
    ({"device": "tpu"}, ValueError, "device must be 'cpu' or 'gpu', got 'tpu'"),
    ({"form": "sparse"}, ValueError, "form must be 'dense' or 'pair', got 'sparse'"),
    ({"smoothing": 1.5}, ValueError, r"smoothing must be in \[0, 1\], got 1.5"),
    ({"layout": "NHWC"}, ValueError, "layout must be one of .*, got 'NHWC'"),
    ({"output_layout": "HW"}, ValueError, "layout must be one of .*, got 'HW'"),
    ({"mirror": 0.5}, TypeError, "mirror must be a pipeline node or an integer, got 0.5"),
    ({"mean": float("nan")}, ValueError, "mean must be finite"),
    ({"std": [1.0, 0.0, 1.0]}, ValueError, "std must be finite and above 0"),
    ({"num_classes": 2.5}, ValueError, "num_classes must be a whole number from 1, got 2.5"),
    ({"dtype": "halff"}, TypeError, "dtype must be uint8, float16, float32, got halff"),
    ({"dtype": types.INT32}, TypeError, "dtype must be uint8, float16, float32, got int32"),
    ({"num_classes": 0}, ValueError, "num_classes must be a whole number from 1, got 0"),
    ({"heatmaps": object()}, ValueError, "CutMix reads no heatmaps"),
]


@pytest.mark.parametrize(("options", "error", "message"), CONSTRUCTION, ids=lambda v: str(v)[:40])
def test_errors_when_the_pipeline_is_made(options, error, message):
    with pytest.raises(error, match=message):
        build(lambda: dali_ops.mix(*images_and_labels(), **{"method": CutMix(), "num_classes": BATCH, **options}))


def test_mean_must_be_numbers():
    with pytest.raises(TypeError, match="mean and std must be numbers, got a pipeline node"):
        build(lambda: dali_ops.cutmix(*images_and_labels(), num_classes=6, mean=fn.random.uniform(range=[0, 1])))


def test_shortcuts_name_unknown_keywords():
    with pytest.raises(TypeError, match=r"cutmix got unknown keywords \['alhpa'\]; it takes alpha, .*seed"):
        build(lambda: dali_ops.cutmix(*images_and_labels(), alhpa=1.0))


def test_gpu_without_cupy(monkeypatch):
    monkeypatch.setattr(dali_ops.device, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"device='gpu' needs CuPy: pip install 'cupy-cuda13x\[ctk\]'"):
        build(lambda: dali_ops.cutmix(*images_and_labels(), num_classes=BATCH, device="gpu"))


RUNNING = [
    ({}, {"num_classes": None}, "num_classes is missing: integer labels need it"),
    ({}, {"num_classes": 3}, r"label 3 of sample 3 is outside 0 \.\. 2"),
    ({}, {"mean": [1.0, 2.0]}, "mean has 2 entries but images has 3 channels"),
    ({"layout": "CHW"}, {}, r"images \[6, 3, 32, 48\] look like CHW, but layout is 'HWC'"),
]


@pytest.mark.parametrize(("source", "options", "message"), RUNNING, ids=lambda v: str(v)[:40])
def test_errors_when_the_pipeline_runs(source, options, message):
    def body():
        return dali_ops.cutmix(*images_and_labels(**source), **{"num_classes": BATCH, **options})

    with pytest.raises(RuntimeError, match=message):
        run(build(body))


def test_images_of_different_size():
    def body():
        images = fn.external_source(lambda: [np.zeros((8 + k, 8, 3), np.uint8) for k in range(BATCH)], batch=True)
        return dali_ops.cutmix(images, images_and_labels()[1], num_classes=BATCH)

    with pytest.raises(RuntimeError, match="uniform shape"):
        run(build(body))
