"""The work of a whole batch by ours and by others: decoded images to normalised planes, class indices to soft labels.

    python -m benchmarks.peers.bench_peers [--device cpu|gpu] [--batch 64 …] [--dtype float16 …] [--peers timm kornia …]
                                     [--only "CutMix, per batch"] [--json FILE]

Images are uint8 [B, 224, 224, 3], labels one of 1000 classes, smoothed by 0.1. The peers are in peers/: timm,
torchvision, Kornia, torch in a few lines and compiled, and DALI's own operators. "ours" is plan, compose and
soft_labels with random numbers that are ready, as DALI draws them ahead. timm, torchvision and Kornia draw within; the
others are even told the plan. BatchMixer, which is ours with the drawing, is listed to show what that costs.

A case is CutMix or Mixup with random numbers for a batch, a pair or a sample; a peer without such a form is not in it.
Kornia makes pairs of labels instead of soft ones, and is compared with ours in pairs. All take turns, on the CPU with
one thread. DALI's pipelines are timed by the host's clock, in epochs of a few batches; there ours draws, while DALI's
own operators are told boxes and λ.

Every peer is checked before it is timed, as checks.py says. GB/s count every byte of input and output once.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import torch

import dalimix
from benchmarks.harness import (
    Rows,
    beginning,
    between,
    compare,
    each,
    finish,
    left_by,
    parser,
    row,
    run_script,
    settled,
    shown,
    take_turns,
    timer_of,
    whole_epoch,
)
from benchmarks.peers import checks, dali_way, torch_way
from benchmarks.peers.cases import DALI, PAIRINGS, PEERS, Batch, Setting, batches, bench_case, mixed, name_of
from benchmarks.peers.peer import Peer
from benchmarks.tensors import CLASSES, SMOOTHING, on_host, one_thread, tensor
from dali_ops.cli.arguments import positive
from dali_ops.device import usable_device
from dalimix import CutMix, Method, MixPlan, Mixup

BATCHES = {"cpu": [64], "gpu": [64, 256, 1024]}
STEPS = {"cpu": 4, "gpu": 50}  # batches of an epoch of DALI's pipelines
LAUNCHES = 8  # between two events: so few that the host, slower than a GPU with small batches, stays ahead


def main() -> None:
    options = arguments()
    device = usable_device(options.device)
    beginning(options.only, [name_of(*case) for case in product((CutMix, Mixup), PAIRINGS, options.dtype)])
    left_out = [f"{name} (--peers)" for name in (*PEERS, DALI) if name not in options.peers] + left_by(options.only)
    rows: Rows = []
    with one_thread() if device == "cpu" else nullcontext():
        for batch in options.batch or BATCHES[device]:
            setting = Setting(device, batch, options.size, options.rounds, timer_of(device, LAUNCHES))
            rows += shown([*bench(setting, options, left_out)])
    left_out += ["the CUDA kernels, and the peers on a GPU (no GPU used)"] if device == "cpu" else []
    finish(options.json, device, rows, list(dict.fromkeys(left_out)))


def arguments() -> argparse.Namespace:
    options = parser(__doc__, rounds=11)
    options.add_argument("--batch", type=positive, nargs="+", help="default: 64, on a GPU 64, 256 and 1024")
    options.add_argument("--size", type=positive, default=224, help="of the images in pixels")
    options.add_argument("--dtype", nargs="+", choices=["float16", "float32"], default=["float16", "float32"])
    options.add_argument("--peers", nargs="*", choices=[*PEERS, DALI], default=[*PEERS, DALI], help="default: all")
    options.add_argument("--only", default="", help='cases whose name begins with this, such as "Mixup, per sample"')
    return options.parse_args()


def bench(setting: Setting, options: argparse.Namespace, left_out: list[str]) -> Iterator[dict[str, Any]]:
    chosen = [(kind, dtype) for kind, dtype in product((CutMix, Mixup), options.dtype)]
    for (kind, dtype), per in product(chosen, PAIRINGS):
        name, method = name_of(kind, per, dtype), kind(per=per, pairing=PAIRINGS[per])
        if name.startswith(options.only):
            yield from bench_case(name, method, dtype, setting, options.peers, left_out)
            if per == "sample" and DALI in options.peers:
                yield from bench_dali(name, method, dtype, setting)
    for kind, dtype in chosen:
        if name_of(kind, "batch", dtype).startswith(options.only):
            yield bench_sharing(kind, dtype, setting)


def bench_sharing(kind: type[CutMix] | type[Mixup], dtype: str, setting: Setting) -> dict[str, Any]:
    """What it costs that every sample has random numbers of its own: only they differ."""
    own, shared = (
        partial(each, batches(kind(per=per, pairing="flip"), setting), mixed, dtype, "dense")
        for per in ("sample", "batch")
    )
    times = compare(shared, own, setting.rounds, setting.timer)
    what, rate = name_of(kind, "batch", dtype), setting.rate(dtype, times[0])
    return row(what, setting.batch, "ours, per sample", times, setting.unit, rate)


# ---- pipelines


def bench_dali(name: str, method: Method, dtype: str, setting: Setting) -> Iterator[dict[str, Any]]:
    different, steps = batches(method, setting), STEPS[setting.device]
    ready = [dali_batch(different[k % len(different)]) for k in range(steps)]
    pipelines = dali_way.pipelines(method, dtype, ready, setting.device)
    for kind, pipeline in pipelines.items():
        check_pipeline(kind, pipeline, dtype, ready[0])
    epochs = [partial(whole_epoch, pipeline) for pipeline in pipelines.values()]
    spans = take_turns(epochs, setting.rounds, partial(settled, setting.device))
    spans = [[span / steps for span in turn] for turn in spans]
    for place, other in enumerate(pipelines):
        if other != dali_way.OURS:
            times = between(spans, 0, place)
            rate = setting.rate(dtype, times[0])
            yield row(f"pipeline, {name}", setting.batch, other, times, setting.unit, rate)


def dali_batch(batch: Batch) -> dali_way.Batch:
    plan = MixPlan(*map(on_host, batch.plan.arrays()), size=batch.plan.size)
    return batch.images, on_host(batch.labels), plan


def check_pipeline(kind: str, pipeline: Any, dtype: str, batch: dali_way.Batch) -> None:
    """DALI's own operators do what they are told; ours, which draws, keeps the shapes, and shares that add up to 1."""
    images, labels, plan = batch
    size = images.shape[1:3]
    pixels, targets = (torch.from_numpy(np.array(output.as_cpu().as_array())) for output in pipeline.run())
    whole_epoch(pipeline)
    if kind == dali_way.ALONE:
        plan = dalimix.plan(CutMix(prob=0.0), dalimix.draw(CutMix(), len(labels), 0), size)
        targets = torch.from_numpy(dalimix.soft_labels(labels, plan, CLASSES, SMOOTHING))
    if kind == dali_way.OURS:
        assert pixels.shape == (len(labels), 3, *size), f"{kind}: images of another shape"
        assert pixels.dtype == getattr(torch, dtype), f"{kind}: images of another type"
        assert torch.allclose(targets.sum(1), torch.ones(len(labels))), f"{kind}: shares that do not add up to 1"
    else:
        peer = Peer(kind, torch_way.followed(CutMix(), pixels.dtype, torch_way.mixed), told=True)
        checks.agree(peer, pixels, targets, tensor(images), torch.from_numpy(labels), plan)


if __name__ == "__main__":
    run_script(main)
