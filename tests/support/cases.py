"""What several tests need: draws with the ends of every range in them, plans made by hand, and comparisons."""

from __future__ import annotations

import random
from dataclasses import fields
from itertools import combinations
from typing import Any

import numpy as np

import dalimix
from dalimix import Draws, Method, MixPlan
from tests.support import by_hand
from tests.support.by_hand import Row

COUPLES = [  # per, pairing: all that are allowed
    (per, pairing)
    for per in ("sample", "pair", "batch")
    for pairing in ("random", "flip", "roll")
    if (per, pairing) != ("pair", "roll")
]
BATCHES = [1, 2, 7, 64]
SIZES = [(224, 224), (33, 17), (1, 1)]

WIDE, ODD = (6, 32), (7, 33)  # rows of whole 16-pixel groups, and rows that are none
MEAN = (123.675, 116.28, 103.53, 90, 80, 70, 60)
STD = (58.395, 57.12, 57.375, 50, 40, 30, 20)
UNTOUCHED = by_hand.stack([Row(0), Row(1)])

BELOW_ONE = np.nextafter(np.float32(1), np.float32(0))
TINY = np.finfo(np.float32).smallest_subnormal
LAMS = (0, 1, TINY, BELOW_ONE, 0.5)


def planted(draws: Draws) -> Draws:
    """The same draws with the smallest and largest numbers in the first rows, in all combinations of the columns."""
    uniform, lam = draws.uniform.copy(), None if draws.lam is None else draws.lam.copy()
    size, columns = uniform.shape
    for row in range(min(size, 2**columns)):
        uniform[row] = [BELOW_ONE if row >> column & 1 else 0 for column in range(columns)]
        if lam is not None:
            lam[row] = LAMS[row % len(LAMS)]
    return Draws(draws.partner, lam, uniform, tuple(planted(member) for member in draws.members), draws.key)


def heatmaps_for(method: Method, batch: int, shape: tuple[int, int] | None = None, seed: int = 0) -> Any:
    """Random heatmaps [batch, *shape] if the method reads any, on its own grid unless told."""
    if not method.reads_heatmaps:
        return None
    return np.random.default_rng(seed).random((batch, *(shape or method.token_grid or (7, 7))), np.float32)


def check_plan(backend: Any, method: Method, batch: int, size: tuple[int, int], seed: int = 0) -> None:
    """A backend plans what the formulas say, both for random draws and for the ends of their ranges."""
    drawn, heatmaps = dalimix.draw(method, batch, seed), heatmaps_for(method, batch, seed=seed)
    for draws in (drawn, planted(drawn)):
        check_drawn(backend, method, draws, size, heatmaps)


def check_drawn(backend: Any, *given: Any) -> None:
    """The same of draws that are there: `given` are the arguments of `plan`."""
    assert_same_plan(backend.plan(*given), by_hand.plan(*given))


def check_shares(backend: Any, method: Method, size: tuple[int, int], mirror: np.ndarray | None = None) -> None:
    """The label shares of 16 images are those of the pixels: image n is filled with n, so that each pixel names it."""
    batch = 16
    heatmaps = heatmaps_for(method, batch) if method.needs_heatmaps else None
    plan = backend.plan(method, dalimix.draw(method, batch, 0), size, heatmaps, mirror)
    images = np.broadcast_to(np.arange(batch, dtype=np.uint8)[:, None, None, None], (batch, *size, 3)).copy()
    mixed = backend.compose(images, plan, mirror)[..., 0]
    for i, j in enumerate(plan.partner):
        shares = np.array([(mixed[i] == n).mean() for n in (i, j)], np.float32)
        np.testing.assert_array_equal(plan.weight[i], shares if i != j else [1, 0])


def assert_same_plan(got: MixPlan, want: MixPlan) -> None:
    for field in fields(MixPlan):
        ours, theirs = getattr(got, field.name), getattr(want, field.name)
        if theirs is None or field.name == "size":
            assert ours == theirs, field.name
            continue
        assert ours.dtype == theirs.dtype, field.name
        np.testing.assert_array_equal(ours, theirs, err_msg=field.name)


def assert_same_images(got: np.ndarray, want: np.ndarray, names: list[str] | None = None) -> None:
    """Equal bit for bit, but for what kind of NaN a NaN is."""
    assert got.dtype == want.dtype
    assert got.shape == want.shape
    differs = _bits(got) != _bits(want)
    if want.dtype != np.uint8:
        differs &= ~(np.isnan(got) & np.isnan(want))
    if differs.any():
        at = tuple(int(k) for k in np.argwhere(differs)[0])
        what = f" ({names[at[0]]})" if names else ""
        raise AssertionError(f"image {at[0]}{what} differs at {at[1:]}: got {got[at]}, expected {want[at]}")


def _bits(array: np.ndarray) -> np.ndarray:
    return array.view(f"u{array.itemsize}")


def pairwise(**factors: list[Any]) -> list[dict[str, Any]]:
    """Few combinations in which any two values of different factors meet. Always the same ones."""
    rng = random.Random(0)
    missing = [{a: x, b: y} for a, b in combinations(factors, 2) for x in factors[a] for y in factors[b]]
    chosen = []
    while missing:
        tries = [{key: rng.choice(values) for key, values in factors.items()} | missing[0] for _ in range(60)]
        chosen.append(max(tries, key=lambda candidate: _covered(candidate, missing)))
        missing = [pair for pair in missing if not pair.items() <= chosen[-1].items()]
    return chosen


def _covered(candidate: dict[str, Any], pairs: list[dict[str, Any]]) -> int:
    return sum(pair.items() <= candidate.items() for pair in pairs)


def situations(height: int, width: int) -> dict[str, dict[str, Any]]:
    """One row of a plan for everything that can happen to an image of at least 6 × 32 pixels."""
    h, w = height, width
    return {
        "untouched": {},
        "box at the top left": {"box": (0, 0, 2, 5)},
        "box at the top right": {"box": (0, w - 5, 2, w)},
        "box at the bottom left": {"box": (h - 2, 0, h, 5)},
        "box at the bottom right": {"box": (h - 2, w - 5, h, w)},
        "box of everything": {"box": (0, 0, h, w)},
        "box of no rows": {"box": (3, 2, 3, 9)},
        "box of no columns": {"box": (1, 9, 4, 9)},
        "box of one pixel": {"box": (1, 17, 2, 18)},
        "box of one group of 16": {"box": (1, 16, 4, 32)},
        "box across groups": {"box": (0, 7, h, 20)},
        "box inside a group": {"box": (0, 18, h, 23)},
        "blend": {"blend": 0.7},
        "blend of nothing": {"blend": 0.0},
        "box in a blend": {"blend": 0.25, "box": (1, 3, 5, 30)},
        "shift by a group": {"box": (1, 0, 4, 16), "shift": (1, 16)},
        "shift back by a group": {"box": (1, 16, 4, 32), "shift": (-1, -16)},
        "shift inside a group": {"box": (1, 2, 4, 14), "shift": (2, 5)},
        "shift back inside a group": {"box": (2, 16, 6, 32), "shift": (-2, -7)},
        "shift from the middle of a group to the left edge": {"box": (1, 18, 4, 31), "shift": (0, -18)},
        "shift is not read in a blend": {"blend": 0.5, "box": (1, 2, 4, 14), "shift": (2, 5)},
        "partner itself": {"own": True, "box": (1, 1, 4, 9)},
        "partner itself, blended": {"own": True, "blend": 0.5},
        "tokens": {"tokens": "some"},
        "every token": {"tokens": "all"},
        "tokens and a box": {"tokens": "some", "box": (1, 3, 5, 30)},
        "tokens in a blend": {"tokens": "some", "blend": 0.6},
        "tokens shifted by a group": {"tokens": "left", "shift": (0, 16)},
        "tokens shifted inside a group": {"tokens": "left", "shift": (0, 3)},
        # The last one: its giver may be the last image, with nothing behind it that could be read by mistake.
        "shift to the last pixel": {"box": (0, 0, h - 3, 20), "shift": (3, w - 20)},
    }


def plan_of_situations(size: tuple[int, int], grid: tuple[int, int] | None) -> tuple[MixPlan, list[str]]:
    """A plan with all situations that the grid (None: no tokens) allows, and their names."""
    chosen = {name: row for name, row in situations(*size).items() if grid or "tokens" not in row}
    count = len(chosen)
    rows, tokens = [], None if grid is None else np.zeros((count, *grid), np.uint8)
    for i, row in enumerate(chosen.values()):
        fields_of_row = {key: value for key, value in row.items() if key not in ("own", "tokens")}
        rows.append(Row(i if row.get("own") else (i + 5) % count, **fields_of_row))
        if tokens is not None and "tokens" in row:
            tokens[i] = _shown(row["tokens"], grid)
    return by_hand.stack(rows, tokens), list(chosen)


def _shown(which: str, grid: Any) -> np.ndarray:
    shown = np.ones(grid, np.uint8)
    if which == "some":
        shown = np.random.default_rng(3).integers(0, 2, grid, np.uint8)
    if which == "left":
        shown[:, grid[1] // 2 :] = 0
    return shown
