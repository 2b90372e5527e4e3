"""Batches as pipelines hand them to the callback of `dali_ops.mix`: each method, with and without mirror."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import dalimix
from benchmarks.tensors import CLASSES, MEAN, SMOOTHING, STD
from dali_ops.operators.draws import flatten
from dali_ops.operators.mixer import Mixer
from dali_ops.operators.pixels import Pixels
from dali_ops.operators.targets import Targets
from dalimix import AttentiveCutMix, CutMix, Method, Mixup, RandomChoice, SMMix, TokenMix

SIZE = 224  # pixels
GUIDED = RandomChoice([Mixup(), CutMix(), AttentiveCutMix(), TokenMix(), SMMix()])


@dataclass(frozen=True)
class Case:
    """A method, and the sides of the heatmaps that come with the images, if any do."""

    method: Method
    heatmaps: int | None = None
    mirrored: bool = False

    @property
    def mixer(self) -> Mixer:
        """The callback: bytes as a decoder gives them become normalised float16 planes as a model takes them."""
        pixels = Pixels(mean=MEAN, std=STD, dtype="float16", layout="HWC", output_layout="CHW")
        return Mixer(
            method=self.method, num_classes=CLASSES, targets=Targets(SMOOTHING), pixels=pixels,
            with_heatmaps=self.heatmaps is not None, mirrored=self.mirrored, return_plan=False,
        )  # fmt: skip

    def inputs(self, batch: int, xp: Any, zeros: bool = False) -> list[Any]:
        """The arrays that the callback gets; with `zeros` for the images, as long as nobody reads them."""
        rng, put = np.random.default_rng(0), xp.asarray
        shape = batch, SIZE, SIZE, 3
        images = xp.zeros(shape, "uint8") if zeros else put(rng.integers(0, 256, shape, np.uint8))
        labels = put(rng.integers(0, CLASSES, (batch, 1), np.int32))
        heatmaps = [] if self.heatmaps is None else [put(rng.random((batch, self.heatmaps, self.heatmaps), np.float32))]
        mirror = [put(rng.integers(0, 2, (batch, 1), np.int32))] if self.mirrored else []
        return [images, labels, *flatten(dalimix.draw(self.method, batch, 0).mapped(put)), *heatmaps, *mirror]


PLAIN = {
    "Mixup": Case(Mixup()),
    "CutMix": Case(CutMix()),
    "AttentiveCutMix": Case(AttentiveCutMix(), 7),
    "AttentiveCutMix, heatmaps 14 × 14": Case(AttentiveCutMix(), 14),
    "TokenMix": Case(TokenMix()),
    "TokenMix, heatmaps": Case(TokenMix(), 14),
    "TokenMix, heatmaps 7 × 7": Case(TokenMix(), 7),
    "SMMix": Case(SMMix(), 14),
    "RandomChoice of 2": Case(RandomChoice()),
    "RandomChoice of 5": Case(GUIDED, 14),
}
CASES = PLAIN | {f"{name}, mirror": replace(case, mirrored=True) for name, case in PLAIN.items()}
