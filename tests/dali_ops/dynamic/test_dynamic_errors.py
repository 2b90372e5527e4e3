"""What dali_ops.dynamic refuses, always with the error itself and never with one of DALI's around it."""

from types import SimpleNamespace

import numpy as np
import nvidia.dali.experimental.dynamic as ndd
import pytest
import torch

import dali_ops.device
import dalimix
from dali_ops import dynamic
from dalimix import CutMix, SMMix
from tests.support.data.at_random import random_images
from tests.support.dynamic import MAPS, MIRROR, TOKENS, a_batch, numbers, rng_of
from tests.support.pipelines import BATCH, SIZE

RAGGED = [np.zeros((8 + k, 8, 3), np.uint8) for k in range(BATCH)]
ENCODED = ndd.as_batch([np.zeros(30 + k, np.uint8) for k in range(BATCH)])
GREY_AND_RGB = ndd.as_batch([np.zeros((8, 8, 3 if k else 1), np.uint8) for k in range(BATCH)])
WRONG = [
    ({"batch": random_images(BATCH, *SIZE)}, TypeError, r"batch must be a Batch of dynamic mode, .*, got ndarray"),
    ({"batch": ndd.as_batch(RAGGED)}, ValueError, r"batch .*\[8, 8, 3\] and \[9, 8, 3\]: resize before"),
    ({"batch": ndd.as_batch(np.zeros((6, 8, 8, 3)))}, TypeError, r"batch must have dtype .*, got float64: .*ndd.cast"),
    ({"batch": ndd.as_batch(np.zeros((0, 8, 8, 3)))}, ValueError, "batch must hold at least one image"),
    ({"batch": ENCODED}, ValueError, r"\[30\] and \[31\]: decode before mixing"),
    ({"batch": ndd.as_batch(np.zeros((6, 30), np.uint8))}, ValueError, r"\[30\]: decode .*ndd.decoders.image\(batch"),
    ({"batch": ndd.as_batch(np.zeros((6, 8, 8), np.uint8))}, ValueError, r"axis is missing, .*ndd.expand_dims\(batch"),
    ({"batch": ndd.as_batch(np.zeros((6, 1), np.int32))}, ValueError, "are images and labels in each other's place"),
    ({"batch": GREY_AND_RGB}, ValueError, "decode all with output_type=types.RGB, for three channels$"),
    ({"labels": ndd.as_batch(np.zeros(6))}, TypeError, r"class indices are ndd.cast\(labels, dtype=ndd.int64\)"),
    ({"labels": np.zeros(6)}, ValueError, r"class indices are labels.astype\('int64'\)"),
    ({"method": SMMix(), "heatmaps": torch.nn.Identity()}, TypeError, "heatmaps is a model, .*FeatureHeatmap"),
    ({"method": SMMix(), "heatmaps": lambda images: images}, TypeError, "heatmaps must be an array .*: if that is a"),
    ({"layout": "CHW"}, ValueError, "batch has layout 'HWC', but layout is 'CHW'"),
    ({"batch": ndd.as_batch(np.zeros((6, 4, 8, 8, 3)), layout="FHWC")}, ValueError, "batch has layout 'FHWC'"),
    ({"output_layout": "HW"}, ValueError, "output_layout must be one of .*, got 'HW'"),
    ({"labels": np.arange(5)}, ValueError, "labels has 5 entries but the batch has 6 images"),
    ({"labels": "abc"}, ValueError, r"labels must be integer \[6\] or floating \[6, classes\], got <U3"),
    ({"labels": ndd.as_batch([np.zeros(1 + k) for k in range(6)])}, ValueError, "labels must be of one shape"),
    ({"num_classes": None}, ValueError, "num_classes is missing: integer labels need it"),
    ({"num_classes": 3}, ValueError, r"label 3 of sample 3 is outside 0 \.\. 2"),
    ({"num_classes": 0}, ValueError, "num_classes must be a whole number from 1, got 0"),
    ({"method": "cutmix"}, TypeError, "method must be an instance of a mixing method"),
    ({"method": SMMix()}, ValueError, r"SMMix needs heatmaps: heatmaps=\[6, h, w\], one map for each image"),
    ({"method": SMMix(), "heatmaps": MAPS}, ValueError, r"SMMix needs heatmaps of its grid \(14, 14\)"),
    ({"method": TOKENS, "heatmaps": MAPS[:4]}, ValueError, "heatmaps has 4 entries but the batch has 6 images"),
    ({"method": TOKENS, "heatmaps": MAPS.astype(int)}, TypeError, "heatmaps must be floating, got int64"),
    ({"heatmaps": MAPS}, ValueError, "CutMix reads no heatmaps, but heatmaps were given"),
    ({"mirror": 0.5}, TypeError, "mirror must be integer or bool, got float"),
    ({"mirror": MIRROR[:5]}, ValueError, r"mirror must be \[6\], one entry per image, got shape \(5, 1\)"),
    ({"mean": [1.0, 2.0]}, ValueError, "mean has 2 entries but images has 3 channels"),
    ({"std": 0}, ValueError, "std must be finite and above 0"),
    ({"dtype": ndd.int32}, TypeError, "dtype must be uint8, float16, bfloat16, float32, got int32"),
    ({"form": "sparse"}, ValueError, "form must be 'dense' or 'pair', got 'sparse'"),
    ({"form": "pair", "smoothing": 0.1}, ValueError, "smoothing needs form='dense'"),
    ({"smoothing": 2}, ValueError, r"smoothing must be in \[0, 1\], got 2"),
    ({"draws": {}}, TypeError, r"draws must be a dalimix.Draws, as dali_ops.dynamic.draw makes it, got dict"),
    ({"draws": dalimix.draw(CutMix(), 5, 0)}, ValueError, "draws has 5 entries but the batch has 6 images"),
    ({"draws": dalimix.draw(SMMix(), 6, 0)}, ValueError, r"CutMix needs draws.uniform of \[6, 3\], got \[6, 2\]"),
    ({"draws": dalimix.draw(CutMix(), 6, 0), "rng": rng_of(1)}, ValueError, "rng is for new random numbers, but draws"),
    ({"rng": np.random.default_rng()}, TypeError, "rng must be an ndd.random.RNG, got Generator"),
    ({"batch": ndd.as_batch(np.zeros((6, 1, 9, 9), np.uint8))}, ValueError, "batch .* look like CHW, .*layout='CHW'"),
    ({"batch": ndd.as_batch(np.zeros((6, 9, 9)), layout="HW")}, ValueError, "has layout 'HW', .*give grey images"),
    ({"labels": [[1], [2, 3]] * 3}, ValueError, "labels must be an array, one entry for each image, but"),
    ({"labels": [None] * 6}, TypeError, "labels must be an array of numbers, got list"),
    ({"mirror": 2}, ValueError, "mirror must be 0 or 1, got 2"),
    ({"return_plan": 1}, TypeError, "return_plan must be True or False, got 1"),
    ({"device": "tpu"}, ValueError, "device must be 'cpu' or 'gpu', got 'tpu'"),
]


@pytest.mark.parametrize(("changes", "error", "message"), WRONG, ids=[case[2] for case in WRONG])
def test_errors(changes, error, message):
    with pytest.raises(error, match=message):
        dynamic.mix(**{"batch": a_batch(), "labels": numbers(), "method": CutMix(), "num_classes": BATCH, **changes})


def test_gpu_without_cupy(monkeypatch):
    monkeypatch.setattr(dali_ops.device, "find_spec", lambda name: None)
    gpu = SimpleNamespace(device_type="gpu", device_id=0)
    monkeypatch.setattr(ndd, "Device", SimpleNamespace)
    for device in ("gpu", gpu):
        with pytest.raises(ModuleNotFoundError, match="device='gpu' needs CuPy"):
            dynamic.mix(a_batch(), numbers(), CutMix(), num_classes=BATCH, device=device)


def test_the_gpu_is_that_of_the_context(monkeypatch):
    pytest.importorskip("cupy")
    monkeypatch.setattr(ndd, "Device", SimpleNamespace)
    second = SimpleNamespace(device_type="gpu", device_id=1)
    monkeypatch.setattr(
        ndd, "EvalContext", SimpleNamespace(current=lambda: SimpleNamespace(device_id=0, num_threads=1))
    )
    with pytest.raises(ValueError, match=r"in an EvalContext of gpu:0: use ndd.EvalContext\(device_id=1\)"):
        dynamic.mix(a_batch(), numbers(), CutMix(), num_classes=BATCH, device=second)
