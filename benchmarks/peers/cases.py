"""The cases of `bench_peers.py`, on arrays and tensors: what ours and the peers are given, and who takes turns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

import dalimix
from benchmarks.harness import UNITS, Timer, array_module_of, between, drawn, each, pictures, row, take_turns
from benchmarks.peers import checks, kornia_way, timm_way, torch_way, torchvision_way
from benchmarks.peers.peer import Peer, Told
from benchmarks.tensors import CLASSES, SMOOTHING, normalised, tensor
from dalimix import CutMix, Method, MixPlan, Mixup

DIFFERENT = 8  # random numbers
DALI = "dali"
LABEL_BYTES = {"dense": 8 + 4 * CLASSES, "pair": 8 + 2 * 8 + 2 * 4}  # in, out
PEERS: dict[str, Callable[[Method, torch.dtype], list[Peer]]] = {
    "BatchMixer": torch_way.batch_mixer,
    "timm": timm_way.peers,
    "torchvision": torchvision_way.peers,
    "kornia": kornia_way.peers,
    "torch": torch_way.whole_batch,
    "compiled": torch_way.compiled,
}
FORMS = list(LABEL_BYTES)
PAIRINGS = {"batch": "flip", "pair": "flip", "sample": "random"}
STAND_IN = "timm itself (not installed): what it does, written anew in torch, stands in as timm's way"


@dataclass(frozen=True)
class Setting:
    """Where and how long all is timed."""

    device: str
    batch: int
    size: int
    rounds: int
    timer: Timer

    @property
    def unit(self) -> str:
        return UNITS[self.device]

    def rate(self, dtype: str, ms: float, form: str = "dense") -> dict[str, float]:
        moved = self.size**2 * 3 * (1 + np.dtype(dtype).itemsize) + LABEL_BYTES[form]
        return {"GB/s": self.batch * moved / ms / 1e6}


@dataclass(frozen=True, eq=False)
class Batch:
    """Images, labels and random numbers, as NumPy or CuPy arrays."""

    images: Any
    labels: Any
    method: Method
    draws: dalimix.Draws

    @property
    def plan(self) -> MixPlan:
        return dalimix.plan(self.method, self.draws, self.images.shape[1:3])

    @cached_property
    def told(self) -> tuple[Tensor, Tensor, Told]:
        """What peers get."""
        return tensor(self.images), tensor(self.labels), Told.of(self.plan)


def name_of(kind: type[CutMix] | type[Mixup], per: str, dtype: str) -> str:
    return f"{kind.__name__}, per {per}, {dtype}"


def bench_case(
    name: str, method: Method, dtype: str, setting: Setting, chosen: list[str], left_out: list[str]
) -> Iterator[dict[str, Any]]:
    """Ours with soft labels, ours with pairs of labels, and the peers."""
    ready = batches(method, setting)
    peers = [peer for peer in peers_of(method, dtype, chosen, left_out) if works(peer, ready[0], left_out)]
    ours = [partial(each, ready, mixed, dtype, form) for form in FORMS]
    its = [partial(each, [batch.told for batch in ready], partial(call, peer)) for peer in peers]
    spans = take_turns([*ours, *its], setting.rounds, setting.timer)
    for place, peer in enumerate(peers):
        form = "dense" if peer.dense is None else "pair"
        times = between(spans, FORMS.index(form), len(ours) + place)
        what = f"{name}, labels in pairs" if form == "pair" else name
        yield row(what, setting.batch, peer.name, times, setting.unit, setting.rate(dtype, times[0], form))


def batches(method: Method, setting: Setting) -> list[Batch]:
    xp, rng = array_module_of(setting.device), np.random.default_rng(0)
    images = [xp.asarray(picture) for picture in pictures(setting.batch, setting.size)]
    labels = xp.asarray(rng.integers(0, CLASSES, setting.batch))
    draws = [drawn(method, setting.batch, seed, xp) for seed in range(DIFFERENT)]
    return [Batch(images[k % len(images)], labels, method, own) for k, own in enumerate(draws)]


def peers_of(method: Method, dtype: str, chosen: list[str], left_out: list[str]) -> list[Peer]:
    if "timm" in chosen and not timm_way.installed():
        left_out.append(STAND_IN)
    found = []
    for name in chosen:
        try:
            found += PEERS[name](method, getattr(torch, dtype)) if name != DALI else []
        except ImportError as error:
            left_out.append(f"{name}: {error}")
    return found


def works(peer: Peer, batch: Batch, left_out: list[str]) -> bool:
    """Whether it runs here, as not every compiler does. What runs must be right."""
    try:
        checks.check(peer, batch.method, *batch.told)
    except RuntimeError as error:  # torch's; those of its compiler, too
        left_out.append(f"{peer.name}: {str(error).splitlines()[0]}")
        return False
    return True


def mixed(batch: Batch, dtype: str, form: Literal["dense", "pair"]) -> tuple[Any, Any]:
    plan, smoothing = batch.plan, SMOOTHING if form == "dense" else 0.0
    pixels = normalised(batch.images, plan, dtype)
    return pixels, dalimix.soft_labels(batch.labels, plan, CLASSES, smoothing, form)


def call(peer: Peer, told: tuple[Tensor, Tensor, Told]) -> tuple[Tensor, Any]:
    return peer.mix(*told)
