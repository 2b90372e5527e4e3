"""Compile the loops for the CPU, once, before the tests: their processes would all compile the same at the same time.

python -m tests.support.programs.compile_loops
"""

import os
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context

import numpy as np

import dalimix
from dalimix import AttentiveCutMix, CutMix, Erase, Mixup, RandomChoice, SMMix, TokenMix
from dalimix.heatmap_crop import heatmap_crop
from tests.support.fuzz.composing import PAIRS, differences

ERASED = ("uint8-float32", "uint8-float16", "float32-float32", "uint8-uint8", "uint8-bfloat16", "bfloat16-bfloat16")
METHODS = (CutMix(), Mixup(), RandomChoice(), TokenMix(), AttentiveCutMix(), SMMix(grid=7))


def images_of(pair: str) -> None:
    differences(range(8), [pair])


def erased(pair: str) -> None:
    method, erase, (dtype, out) = CutMix(), Erase(prob=1.0), pair.split("-")
    draws, value = dalimix.draw(method, 4, 0, erase), 0.0 if out == "uint8" else None
    plan = replace(dalimix.plan_erase(erase, draws, 32), value=value)
    dalimix.compose(np.ones((4, 32, 32, 3), dtype), dalimix.plan(method, draws, 32), dtype=out, std=1, erase=plan)


def plans_of(number: int) -> None:
    method, heatmaps = METHODS[number], np.ones((4, 9, 9), np.float32)
    heatmaps = heatmaps[:, :7, :7] if method.heatmap_grid else heatmaps
    given = heatmaps if method.reads_heatmaps else None
    plan = dalimix.plan(method, dalimix.draw(method, 4, 0), 32, given)
    dalimix.soft_labels(np.arange(4), plan, 4)
    dalimix.soft_labels(np.eye(4, dtype=np.float32), plan)
    for dtype in ("uint8", "float16", "float32"):
        heatmap_crop(np.ones((4, 3, 3), dtype), np.arange(4), np.array([[0.0, 0, 1, 1]] * 4), 2)


def main() -> int:
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        begun = [pool.submit(images_of, pair) for pair in PAIRS]
        begun += [pool.submit(erased, pair) for pair in ERASED]
        begun += [pool.submit(plans_of, number) for number in range(len(METHODS))]
        for work in begun:
            work.result()
    return 0


if __name__ == "__main__":
    sys.exit(main())
