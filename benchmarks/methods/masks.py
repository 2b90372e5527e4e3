"""TokenMix's masks alone, for scripts that time them: ours and the authors' loop of `tokenmix_way.py`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

import dalimix
from benchmarks.harness import Rows, Run, Timer, Times, compare, drawn, each, row
from benchmarks.methods.tokenmix_way import Loop
from benchmarks.tensors import on_host
from dalimix import TokenMix

SIZE, GRID = 224, 14  # of images in pixels, of masks in tokens
CHECKED = 1024  # masks


def bench_masks(xp: Any, timer: Timer, samples: int, rounds: int) -> Rows:
    rows = []
    for blocks in (True, False):
        method = TokenMix(blocks=blocks, pairing="roll")  # so that no image is its own partner
        loop = Loop(method)
        check_masks(method, loop, xp)
        each_one, shared = replace(method, per="sample"), replace(method, per="batch")
        for ours, count in ((each_one, samples), (each_one, 1), (shared, 1)):
            times = compare(plans(ours, samples, xp), moved_masks(loop, count, xp), rounds, timer)
            rows.append(mask_row(ours, samples, count, times))
    return rows


def mask_row(method: TokenMix, samples: int, count: int, times: Times) -> dict[str, Any]:
    made = samples if method.per == "sample" else 1
    kind = "blocks" if method.blocks else "lone tokens"
    other = f"loop, {count} mask" + "s" * (count > 1)
    whole = row(f"{kind}, per {method.per}", samples, other, times, "ms", {"masks/s": made / times[0] * 1e3})
    return {**whole, "baseline masks/s": count / times[1] * 1e3}


def plans(method: TokenMix, samples: int, xp: Any) -> Callable[[int], Any]:
    """Of different draws, that are ready: keys, from which the plan makes its random numbers."""
    draws = [drawn(method, samples, seed, xp) for seed in range(8)]
    return partial(each, draws, lambda numbers: dalimix.plan(method, numbers, (SIZE, SIZE)))


def moved_masks(loop: Loop, count: int, xp: Any) -> Run:
    return lambda _: xp.asarray(loop.masks(count))


def check_masks(method: TokenMix, loop: Loop, xp: Any) -> None:
    """Of many masks: as many tokens, as scattered, in the same places. Chance stays far below what is allowed."""
    ours = on_host(plans(method, CHECKED, xp)(0).tokens)
    its = loop.masks(CHECKED)
    covered, edges = ([count(masks) for masks in (ours, its)] for count in (tokens_of, edges_of))
    assert max(covered[0].max(), covered[1].max()) <= loop.wanted, "more tokens are covered than wanted"
    assert abs(covered[0].mean() - covered[1].mean()) < 0.2, "another number of tokens is covered"
    assert abs(edges[0].mean() - edges[1].mean()) < 1.5, "the blocks are others"
    assert np.abs(ours.mean(0) - its.mean(0)).max() < 0.1, "other places are covered"


def tokens_of(masks: np.ndarray) -> Any:
    return masks.sum((1, 2), dtype=int)


def edges_of(masks: np.ndarray) -> Any:
    """How often a token and the one below it differ."""
    return (masks[:, 1:] != masks[:, :-1]).sum((1, 2))
