"""What Attentive CutMix costs: the cut alone, its teacher alone, and pipelines with and without both.

    python -m benchmarks.methods.bench_attention [--device cpu|gpu] [--batch 64] [--no-teacher] [--json FILE]

* The cut: uint8 HWC images of 224 × 224 and ready heatmaps to normalised float16 CHW, against the two ways of
  `attention_way.py`; on the CPU all have one thread, on a GPU a device copy of the same bytes is timed, too.
* The teacher: the demo's model on a batch, against the same model image by image.
* The pipelines: ready images from memory, so that decoding does not hide the rest. They are timed in epochs of a few
  batches; DALI has nothing prepared when one begins or ends, so none works ahead while another is timed.

Every result is checked before it is timed. Inputs are rotated, the images through more memory than the caches hold.
GB/s count every byte of input and output once.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from nvidia.dali import fn, pipeline_def, types

from benchmarks.harness import (
    Rows,
    array_module_of,
    compare,
    each,
    finish,
    image_rows,
    parser,
    pictures,
    row,
    run_script,
    settled,
    shown,
    take_turns,
    whole_epoch,
)
from benchmarks.methods.attention_way import heatmaps_each
from benchmarks.methods.cut import SIZE, bench_cut
from benchmarks.tensors import CLASSES, MEAN, STD, on_host, tensor
from dali_ops import mix, model_heatmaps
from dali_ops.assets.teacher import MEAN as TEACHER_MEAN
from dali_ops.assets.teacher import STD as TEACHER_STD
from dali_ops.assets.teacher import teacher
from dali_ops.cli.arguments import positive
from dali_ops.device import DEVICES, default_id, usable_device
from dalimix import AttentiveCutMix, CutMix

BATCHES = {"cpu": (64, 16), "gpu": (256, 256)}  # of the cut; of the teacher and the pipelines
EPOCHS = {"cpu": 8, "gpu": 50}  # batches; where they take less time, more, so that begin and end do not count
NORMALISE = {"mean": MEAN, "std": STD, "dtype": types.FLOAT16, "output_layout": "CHW"}
PLAIN, HEATMAPS, ATTENTIVE = "crop_mirror_normalize", "model_heatmaps", "model_heatmaps + AttentiveCutMix"
PAIRS = [(PLAIN, PLAIN), ("CutMix", PLAIN), (HEATMAPS, PLAIN), (ATTENTIVE, PLAIN), (ATTENTIVE, HEATMAPS)]


def main() -> None:
    options = arguments()
    device = usable_device(options.device)
    cut, whole = BATCHES[device]
    cut, whole = options.batch or cut, options.whole_batch or whole
    provider = teacher(device) if options.teacher else None
    rows = shown(bench_cut(device, cut, options.rounds))
    if provider is not None:
        rows += shown(bench_teacher(provider, device, whole, options.rounds))
    epoch = options.epoch or EPOCHS[device]
    rows += shown(bench_pipelines(provider, device, whole, epoch, options.rounds))
    left_out = [] if provider else ["the teacher and the pipelines with it (--no-teacher)"]
    left_out += ["the CUDA kernels, and everything else on a GPU (no GPU used)"] if device == "cpu" else []
    finish(options.json, device, rows, left_out)


def arguments() -> argparse.Namespace:
    options = parser(__doc__)
    options.add_argument("--batch", type=positive, help="of the cut; default: 64 on the CPU, 256 on a GPU")
    options.add_argument(
        "--whole-batch", type=positive, help="of teacher and pipelines; default: 16 on the CPU, 256 on a GPU"
    )
    options.add_argument("--epoch", type=positive, help="batches of the pipelines at a time; default: 8, on a GPU 50")
    options.add_argument("--teacher", action=argparse.BooleanOptionalAction, default=True, help="slow on the CPU")
    return options.parse_args()


# ---- the teacher and the pipelines, with as many threads as there are cores


def bench_teacher(provider: Any, device: str, batch: int, rounds: int) -> Rows:
    images = [torch.from_numpy(picture).to(DEVICES[device]).permute(0, 3, 1, 2) for picture in pictures(batch, SIZE)]
    ours = partial(each, images, provider)
    its = partial(each, images, heatmaps_each, provider.model, TEACHER_MEAN, TEACHER_STD)
    check_heatmaps(on_host(ours(0)), on_host(its(0)))
    times = compare(ours, its, rounds, partial(settled, device))
    return [row("teacher", batch, "image by image", times, "ms", {"images/s": batch / times[0] * 1e3})]


def bench_pipelines(provider: Any, device: str, batch: int, epoch: int, rounds: int) -> Rows:
    ready = batches_for_dali(device, batch, epoch)
    pipelines = {name: built(body, ready, device) for name, body in bodies(provider).items()}
    for name, pipeline in pipelines.items():
        check_pipeline(name, pipeline, ready[0], provider)
    epochs = [partial(whole_epoch, pipeline) for pipeline in pipelines.values()]
    spans = [[span / len(ready) for span in turn] for turn in take_turns(epochs, rounds, partial(settled, device))]
    return image_rows(pipelines, PAIRS if provider else PAIRS[:2], batch, spans)


def batches_for_dali(device: str, batch: int, epoch: int) -> list[Any]:
    """The images of an epoch of so many batches, on the device."""
    xp = array_module_of(device)
    different = [xp.asarray(picture) for picture in pictures(batch, SIZE)]
    return [different[k % len(different)] for k in range(epoch)]


def bodies(provider: Any) -> dict[str, Callable[..., Any]]:
    """What each pipeline makes of images, labels and a coin that says which images are mirrored."""
    options = {"num_classes": CLASSES, **NORMALISE}

    def plain(images: Any, labels: Any, mirror: Any) -> Any:
        return fn.crop_mirror_normalize(images, mirror=mirror, **NORMALISE), labels

    def cutmix(images: Any, labels: Any, mirror: Any) -> Any:
        return mix(images, labels, CutMix(), mirror=mirror, **options)

    def seen(images: Any, *_: Any) -> Any:
        return model_heatmaps(images, provider)

    def attentive(images: Any, labels: Any, mirror: Any) -> Any:
        return mix(images, labels, AttentiveCutMix(), heatmaps=seen(images), mirror=mirror, **options)

    unguided = {PLAIN: plain, "CutMix": cutmix}
    return unguided if provider is None else {**unguided, HEATMAPS: seen, ATTENTIVE: attentive}


def built(body: Callable[..., Any], ready: list[Any], device: str) -> Any:
    """A pipeline that gives the batches once, and again after every reset."""
    batch = len(ready[0])
    numbers = [np.arange(batch) % CLASSES] * len(ready)

    @pipeline_def(batch_size=batch, num_threads=min(os.cpu_count() or 1, 8), device_id=default_id(device), seed=0)
    def pipeline() -> Any:
        images = fn.external_source(ready, batch=True, cycle="raise", layout="HWC", device=device)
        labels = fn.external_source(numbers, batch=True, cycle="raise")
        return body(images, labels.gpu() if device == "gpu" else labels, fn.random.coin_flip())

    return pipeline()


def check_pipeline(name: str, pipeline: Any, images: Any, provider: Any) -> None:
    first, *targets = [np.array(output.as_cpu().as_array()) for output in pipeline.run()]
    whole_epoch(pipeline)
    if name == HEATMAPS:
        check_heatmaps(first, on_host(provider(tensor(images).permute(0, 3, 1, 2))))
        return
    assert (first.dtype, first.shape) == (np.float16, (len(images), 3, SIZE, SIZE)), f"{name}: other images"
    assert name == PLAIN or np.allclose(targets[0].sum(1), 1), f"{name}: targets do not add up to 1"
    largest = np.round(targets[0].max(-1) * 49)
    assert name != ATTENTIVE or np.isin(largest, [43, 49]).all(), f"{name}: 6 of 49 cells were not mixed"


def check_heatmaps(ours: np.ndarray, its: np.ndarray) -> None:
    """A GPU may multiply with fewer digits, and others for another batch size."""
    assert np.allclose(ours, its, atol=0.02 * its.max()), "the heatmaps differ"


if __name__ == "__main__":
    run_script(main)
