"""What TokenMix costs: its masks alone, pipelines with and without it, and the cut of stored heatmaps alone.

    python benchmarks/bench_tokenmix.py [--device cpu|gpu] [--data FOLDER] [--json FILE]

* The masks: `plan` without heatmaps, which also makes shares and all else that a plan has, against the authors' loop of
  `tokenmix_way.py`. There a whole batch has one mask; so the loop is timed once with a mask for every sample, as ours
  has them, and once with one for the batch. Its masks are moved to the device. Before it is timed, both are checked to
  make masks of the same kind.
* The pipelines: from files to finished batches, as `dalimix demo` times them; the photographs are the demo's, if there
  is no --data, and the heatmaps random: what they show costs nothing.
* The cut: `heatmap_crop` with random crops as in training, of as many maps as ImageNet has, more than the caches hold.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from bench_attention import SIZE
from harness import (
    OnGpu,
    Rows,
    Run,
    Times,
    compare,
    drawn,
    each,
    finish,
    image_rows,
    on_cpu,
    parser,
    row,
    shown,
    take_turns,
)
from tokenmix_way import Loop

import dalimix
from dali_ops.device import usable_device
from dali_ops.guides import StoreGuide
from dali_ops.photos import make_photo_folder
from dali_ops.pipelines import NO_HEATMAPS
from dali_ops.random_heatmaps import random_store
from dali_ops.reading import SMALLEST
from dali_ops.sources import ImageFolder
from dali_ops.throughput import Contender, Setting
from dalimix import TokenMix
from dalimix.heatmap_crop import heatmap_crop

GRID = 14
BATCHES = {"cpu": 6, "gpu": 100}  # of the pipelines, in a round
CHECKED = 1024  # masks
MAPS = 1_281_167  # ImageNet's training images
CROPS = 512  # different batches of crops: a round on a GPU takes 20
PLAIN, MIXED, GUIDED = "no mixing", "TokenMix", "TokenMix + HeatmapStore"
PAIRS = [(PLAIN, PLAIN), (MIXED, PLAIN), (GUIDED, PLAIN), (GUIDED, MIXED)]
Timer = Callable[[Run, int], float]


def main() -> None:
    options = arguments()
    device = usable_device(options.device)
    xp, timer = (np, on_cpu) if device == "cpu" else (import_module("cupy"), OnGpu())
    rows = shown(bench_masks(xp, timer, options.samples, options.rounds))
    rows += shown(bench_crop(xp, timer, options.samples, options.rounds))
    batches = options.batches or BATCHES[device]
    rows += shown(bench_pipelines(options.data, device, options.batch_size, batches, options.rounds))
    kernels = "the CUDA kernels of TokenMix and heatmap_crop, and the pipelines on a GPU (no GPU used)"
    finish(options.json, device, rows, [kernels] if device == "cpu" else [])


def arguments() -> argparse.Namespace:
    options = parser(__doc__)
    options.add_argument("--samples", type=int, default=256, help="masks and heatmaps at a time")
    options.add_argument("--batch-size", type=int, default=64, help="of the pipelines")
    options.add_argument("--batches", type=int, help="of a pipeline at a time; default: 6, on a GPU 100")
    options.add_argument("--data", type=Path, help="folder with a sub-folder for each class; default: the demo's")
    return options.parse_args()


# ---- the masks alone


def bench_masks(xp: Any, timer: Timer, samples: int, rounds: int) -> Rows:
    rows = []
    for blocks in (True, False):
        method = TokenMix(blocks=blocks, pairing="roll")  # so that no image is its own partner
        loop = Loop(method)
        check_masks(method, loop, xp)
        for per, count in (("sample", samples), ("sample", 1), ("batch", 1)):
            ours = replace(method, per=per)
            times = compare(plans(ours, samples, xp), moved_masks(loop, count, xp), rounds, timer)
            rows.append(mask_row(ours, samples, count, times))
    return rows


def mask_row(method: TokenMix, samples: int, count: int, times: Times) -> dict[str, Any]:
    made = samples if method.per == "sample" else 1
    kind = "blocks" if method.blocks else "lone tokens"
    other = f"loop, {count} mask" + "s" * (count > 1)
    whole = row(f"{kind}, per {method.per}", samples, other, times, "ms", {"masks/s": made / times[0] * 1e3})
    return {**whole, "its masks/s": count / times[1] * 1e3}


def plans(method: TokenMix, samples: int, xp: Any) -> Run:
    """Of different draws, that are ready: keys, from which the plan makes its random numbers."""
    draws = [drawn(method, samples, seed, xp) for seed in range(8)]
    return partial(each, draws, lambda numbers: dalimix.plan(method, numbers, (SIZE, SIZE)))


def moved_masks(loop: Loop, count: int, xp: Any) -> Run:
    return lambda _: xp.asarray(loop.masks(count))


def check_masks(method: TokenMix, loop: Loop, xp: Any) -> None:
    """Of many masks: as many tokens, as scattered, in the same places. Chance stays far below what is allowed."""
    ours = host(plans(method, CHECKED, xp)(0).tokens)
    its = loop.masks(CHECKED)
    covered, edges = ([count(masks) for masks in (ours, its)] for count in (tokens_of, edges_of))
    assert max(covered[0].max(), covered[1].max()) <= loop.wanted, "more tokens are covered than wanted"
    assert abs(covered[0].mean() - covered[1].mean()) < 0.2, "another number of tokens is covered"
    assert abs(edges[0].mean() - edges[1].mean()) < 1.5, "the blocks are others"
    assert np.abs(ours.mean(0) - its.mean(0)).max() < 0.1, "other places are covered"


def host(array: Any) -> np.ndarray:
    return array.get() if hasattr(array, "get") else array


def tokens_of(masks: np.ndarray) -> np.ndarray:
    return masks.sum((1, 2), dtype=int)


def edges_of(masks: np.ndarray) -> np.ndarray:
    """How often a token and the one below it differ."""
    return (masks[:, 1:] != masks[:, :-1]).sum((1, 2))


# ---- the cut of stored heatmaps alone


def bench_crop(xp: Any, timer: Timer, samples: int, rounds: int) -> Rows:
    rng = np.random.default_rng(0)
    maps = rng.integers(0, 256, (MAPS, GRID, GRID), np.uint8)
    inputs = [(rng.integers(0, MAPS, samples), crops(rng, samples)) for _ in range(CROPS)]
    check_whole(maps, inputs[0][0], xp)
    there, put = xp.asarray(maps), [tuple(map(xp.asarray, pair)) for pair in inputs]
    ours = partial(each, put, lambda pair: heatmap_crop(there, *pair, GRID))
    expected = heatmap_crop(maps, *inputs[0], GRID)
    assert np.array_equal(host(ours(0)), expected), "kernel and twin differ"
    ms = median(span for (span,) in take_turns([ours], rounds, timer))
    what = f"heatmap_crop, {GRID} × {GRID} uint8 to {GRID} × {GRID}"
    return [{"what": what, "batch": samples, "median µs": ms * 1e3, "heatmaps/s": samples / ms * 1e3}]


def crops(rng: np.random.Generator, samples: int) -> np.ndarray:
    """Float64 [samples, 4]: random crops of square images, as ImageNet recipes take them."""
    area, aspect = rng.uniform(SMALLEST, 1, samples), np.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3), samples))
    sides = np.minimum(np.sqrt([area * aspect, area / aspect]), 1).T
    return np.concatenate([rng.random((samples, 2)) * (1 - sides), sides], axis=1)


def check_whole(maps: np.ndarray, index: np.ndarray, xp: Any) -> None:
    """A crop that is the whole image leaves a map as it is."""
    boxes = np.tile([0.0, 0.0, 1.0, 1.0], (len(index), 1))
    whole = heatmap_crop(*map(xp.asarray, (maps, index, boxes)), GRID)
    assert np.allclose(host(whole), maps[index] / 255, atol=1e-6), "the whole map has changed"


# ---- the pipelines, with as many threads as there are cores


def bench_pipelines(data: Path | None, device: str, batch: int, batches: int, rounds: int) -> Rows:
    with TemporaryDirectory() as place:
        folder = ImageFolder.scan(data) if data else photographs(Path(place) / "photos", batch)
        guide = StoreGuide(random_store(Path(place) / "store", folder, GRID), TokenMix())
        kinds = {PLAIN: (None, NO_HEATMAPS), MIXED: (TokenMix(), NO_HEATMAPS), GUIDED: (TokenMix(), guide)}
        setting = Setting(folder, device, batch, os.cpu_count() or 1, SIZE)
        runs = [partial(milliseconds, Contender(setting, *kind), batches) for kind in kinds.values()]
        spans = take_turns(runs, rounds, lambda run, index: run())
    return image_rows(kinds, PAIRS, batch, spans)


def milliseconds(contender: Contender, batches: int) -> float:
    """Of one batch."""
    return contender.turn(batches).seconds / batches * 1e3


def photographs(place: Path, batch: int) -> ImageFolder:
    """The demo's, again and again until they make whole batches: the last one would be filled up with one of them."""
    folder = ImageFolder.scan(make_photo_folder(place))
    times = batch // math.gcd(batch, len(folder.files))
    return replace(folder, files=folder.files * times, labels=folder.labels * times)


if __name__ == "__main__":
    main()
