"""The cut of Attentive CutMix alone, for scripts that time it: ours and the two ways of `attention_way.py`."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import torch

import dalimix
from benchmarks.harness import UNITS, Rows, Run, array_module_of, compare, copy, drawn, each, pictures, row, timer_of
from benchmarks.methods.attention_way import EachImage, WholeBatch
from benchmarks.tensors import MEAN, STD, normalised, on_host, one_thread, tensor
from dalimix import AttentiveCutMix

SIZE = 224  # of the images in pixels
GRIDS = (7, 14, 28)
Job = tuple[str, int | None, str, Run, Run]  # what, bytes moved, name of the baseline, ours, the baseline


class Ours:
    """With the same functions as the peers."""

    def __init__(self, method: AttentiveCutMix, draws: dalimix.Draws) -> None:
        self.method, self.draws = method, draws

    def plan(self, heatmaps: Any) -> dalimix.MixPlan:
        return dalimix.plan(self.method, self.draws, (SIZE, SIZE), heatmaps)

    def compose(self, images: Any, plan: dalimix.MixPlan) -> Any:
        return normalised(images, plan, "float16")

    def tokens(self, plan: dalimix.MixPlan) -> np.ndarray:
        return on_host(plan.tokens).reshape(len(plan.partner), -1)


def bench_cut(device: str, batch: int, rounds: int) -> Rows:
    xp, timer = array_module_of(device), timer_of(device)
    images = [xp.asarray(picture) for picture in pictures(batch, SIZE)]
    rows = []
    with one_thread():  # as ours has
        for what, moved, other, ours, its in chain(plan_jobs(xp, images), pixel_jobs(xp, images, device)):
            times = compare(ours, its, rounds, timer)
            rate = {"GB/s": moved / times[0] / 1e6} if moved else {}
            rows.append(row(what, batch, other, times, UNITS[device], rate))
    return rows


def plan_jobs(xp: Any, images: list[Any]) -> Iterator[Job]:
    for grid in GRIDS:
        ours, peers = ways(xp, len(images[0]), grid)
        maps = heatmaps(xp, images, grid)
        for peer in peers:
            check_cells(ours, peer, maps[0])
            its = partial(each, list(map(tensor, maps)), peer.plan)
            yield f"plan, {grid} × {grid}", None, peer.name, partial(each, maps, ours.plan), its


def pixel_jobs(xp: Any, images: list[Any], device: str) -> Iterator[Job]:
    """Compose with plans that are ready, and both together."""
    ours, peers = ways(xp, len(images[0]), GRIDS[0])
    maps = heatmaps(xp, images, GRIDS[0])
    compose, both = runs(ours, images, maps)
    moved = images[0].nbytes * 3  # uint8 in, float16 out
    if device == "gpu":
        yield "compose", moved, "device copy", compose, copy(xp, moved, len(images))
    for peer in peers:
        its_compose, its_both = runs(peer, list(map(tensor, images)), list(map(tensor, maps)))
        assert np.allclose(on_host(both(0)), on_host(its_both(0)), atol=0.02), f"{peer.name}: the results differ"
        yield "compose", moved, peer.name, compose, its_compose
        yield "plan + compose", moved, peer.name, both, its_both


def ways(xp: Any, batch: int, grid: int) -> tuple[Ours, list[EachImage | WholeBatch]]:
    """Ours and the peers, for the same draws; the cells cover the same share of an image whatever the grid."""
    method = AttentiveCutMix(top=6 * (grid // 7) ** 2, grid=grid)
    draws = drawn(method, batch, 0, xp)
    partner = tensor(draws.partner).long()  # random pairing takes the permutation as it is
    scaling = (
        torch.tensor(values, dtype=torch.float16, device=partner.device)[:, None, None] for values in (MEAN, STD)
    )
    told = (partner, partner.tolist(), method.top, grid, *scaling)
    return Ours(method, draws), [EachImage(*told), WholeBatch(*told)]


def runs(way: Any, images: list[Any], maps: list[Any]) -> tuple[Run, Run]:
    """Compose alone; plan and compose."""
    pairs = list(zip(images, maps, strict=True))
    ready = [(batch, way.plan(seen)) for batch, seen in pairs]
    compose = partial(each, ready, lambda pair: way.compose(*pair))
    return compose, partial(each, pairs, lambda pair: way.compose(pair[0], way.plan(pair[1])))


def check_cells(ours: Ours, peer: EachImage | WholeBatch, seen: Any) -> None:
    plan = ours.plan(seen)
    given = on_host(plan.partner) != np.arange(len(plan.partner))  # who is its own partner stays as it is
    its = peer.tokens(peer.plan(tensor(seen)))
    assert np.array_equal(ours.tokens(plan)[given], its[given]), f"{peer.name}: other cells are chosen"


def heatmaps(xp: Any, images: list[Any], grid: int) -> list[Any]:
    """Float32 [B, g, g] in [0, 1) for every batch; no value comes twice, so that there is one order of the cells."""
    count = len(images[0]) * grid**2
    orders = (np.random.default_rng(seed).permutation(count) / count for seed in range(len(images)))
    return [xp.asarray(order.astype(np.float32).reshape(-1, grid, grid)) for order in orders]
