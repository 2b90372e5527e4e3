"""SMMix's regions, alone and with the pixels, for scripts that time them: ours and the ways of `smmix_way.py`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain
from typing import Any

import numpy as np
from torch import Tensor

import dalimix
from benchmarks.harness import UNITS, Rows, Run, array_module_of, compare, drawn, each, row, timer_of
from benchmarks.methods.smmix_way import BySide, ImageByImage, OneSide, Regions
from benchmarks.tensors import on_host, one_thread, tensor
from dalimix import SMMix

SIZE, GRID = 224, 14
DIFFERENT = 8  # batches of heatmaps
PEERS = (("batch", OneSide()), ("sample", OneSide()), ("sample", ImageByImage()), ("sample", BySide()))
Job = tuple[str, int, str, Run, Run]  # what, batch, name of the baseline, ours, the baseline


@dataclass(frozen=True, eq=False)
class Batch:
    """Heatmaps and random numbers; for the peers, the same heatmaps, and the sides that follow from the numbers."""

    method: SMMix
    draws: dalimix.Draws
    heatmaps: Any

    def plan(self) -> dalimix.MixPlan:
        return dalimix.plan(self.method, self.draws, (SIZE, SIZE), self.heatmaps)

    @cached_property
    def told(self) -> tuple[Tensor, list[int]]:
        rows = on_host(self.plan().tokens).any(2).sum(1)
        return tensor(self.heatmaps), rows.tolist()


def batches(per: str, count: int, xp: Any) -> list[Batch]:
    """Of different heatmaps: whole numbers, so that the sums are exact in whatever order they are made."""
    method, rng = SMMix(per=per, pairing="flip"), np.random.default_rng(0)
    maps = [rng.integers(0, 1 << 16, (count, GRID, GRID)).astype(np.float32) for _ in range(DIFFERENT)]
    return [Batch(method, drawn(method, count, seed, xp), xp.asarray(own)) for seed, own in enumerate(maps)]


def bench_mixing(device: str, samples: int, images: int, rounds: int) -> Rows:
    xp, timer = array_module_of(device), timer_of(device)
    rows = []
    with one_thread():  # as ours has
        for what, batch, other, ours, its in chain(plan_jobs(xp, samples), pixel_jobs(xp, images)):
            rows.append(row(what, batch, other, compare(ours, its, rounds, timer), UNITS[device], {}))
    return rows


def plan_jobs(xp: Any, samples: int) -> Iterator[Job]:
    for per, peer in PEERS:
        for batch in batches(peer.per, samples, xp):
            check_cells(batch.plan(), peer.plan(*batch.told), peer.name)
        own = batches(per, samples, xp)
        its = partial(each, [batch.told for batch in own], lambda told, peer=peer: peer.plan(*told))
        yield f"plan, per {per}", samples, peer.name, partial(each, own, Batch.plan), its


def pixel_jobs(xp: Any, count: int) -> Iterator[Job]:
    rng = np.random.default_rng(0)
    images = [xp.asarray(rng.random((count, 3, SIZE, SIZE), np.float32)) for _ in range(3)]
    for per, peer in PEERS:
        ours, its = mixing_runs(peer, images, batches(peer.per, count, xp))
        assert np.array_equal(on_host(ours(0)), on_host(its(0))), f"{peer.name}: the results differ"
        yield f"plan + compose, per {per}", count, peer.name, *mixing_runs(peer, images, batches(per, count, xp))


def mixing_runs(peer: OneSide, images: list[Any], own: list[Batch]) -> tuple[Run, Run]:
    """Ours and the peer's, from images and heatmaps to mixed images."""
    pairs = list(zip(images, own[: len(images)], strict=True))
    given = [(tensor(pixels), batch.told) for pixels, batch in pairs]
    ours = partial(each, pairs, lambda pair: dalimix.compose(pair[0], pair[1].plan(), layout="CHW"))
    return ours, partial(each, given, lambda pair: peer.compose(pair[0], peer.plan(*pair[1])))


def check_cells(plan: dalimix.MixPlan, its: Regions, name: str) -> None:
    """Every cell shows the same cell of the partner, or none."""
    tokens = on_host(plan.tokens).reshape(len(plan.partner), -1)
    assert np.array_equal(tokens != 0, on_host(its.source_mask)), f"{name}: other cells are written"
    down, across = (on_host(plan.shift) * GRID // SIZE).T[:, :, None]
    read = np.arange(GRID**2) + down * GRID + across + np.arange(len(tokens))[:, None] * GRID**2
    order = np.argsort(on_host(its.written))
    assert np.array_equal(read[tokens != 0], on_host(its.read)[order]), f"{name}: other cells are read"
