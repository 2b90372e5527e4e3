"""What `bench_kernels.py` checks before it times: every twin against the plain formula, written once more.

Each function gets a small batch and what the twin made of it, and fails where they differ.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from benchmarks.tensors import CLASSES, MEAN, SMOOTHING, STD
from dalimix import AttentiveCutMix, Draws, MixPlan, RandomChoice, SMMix, TokenMix

Given = tuple[Draws, Any]  # what a plan follows from: random numbers, and heatmaps or None


def compose(given: tuple[np.ndarray, MixPlan], pixels: np.ndarray) -> None:
    """Image by image: blend, paste, normalise, if they come out as floats."""
    images, plan = given
    images, floats = images.astype(np.float32), pixels.dtype != np.uint8
    planes = pixels.shape[1:] != images.shape[1:]
    for i, j in enumerate(plan.partner):
        mixed = plan.blend[i] * images[i] + (1 - plan.blend[i]) * images[j]
        mixed = np.where(shown(plan, i, images.shape[1:3])[:, :, None], images[j], mixed)
        expected = (mixed - MEAN) / STD if floats else np.rint(mixed)
        got = pixels[i].transpose(1, 2, 0) if planes else pixels[i]
        assert np.allclose(got, expected, rtol=0, atol=0.01 if floats else 1), f"other pixels in image {i}"


def shown(plan: MixPlan, i: int, size: Sequence[int]) -> np.ndarray:
    """Bool [H, W]: where image i shows its partner."""
    where = np.zeros(size, bool)
    top, left, bottom, right = plan.box[i]
    where[top:bottom, left:right] = True
    if plan.tokens is not None:
        rows, columns = (np.diff(np.arange(g + 1) * n // g) for n, g in zip(size, plan.tokens[i].shape, strict=True))
        where |= plan.tokens[i].repeat(rows, 0).repeat(columns, 1) != 0
    return where


def soft_labels(given: tuple[np.ndarray, MixPlan], targets: np.ndarray) -> None:
    labels, plan = given
    own = np.eye(CLASSES)[labels] if labels.ndim == 1 else labels
    mixed = plan.weight[:, :1] * own + plan.weight[:, 1:] * own[plan.partner]
    same("labels", targets, (1 - SMOOTHING) * mixed + SMOOTHING / CLASSES * plan.weight.sum(1, keepdims=True))


# ---- plans


def mixup(given: Given, plan: MixPlan) -> None:
    draws, _ = given
    lam = np.where(draws.partner == np.arange(len(plan.partner)), 1, draws.lam)
    same("λ", plan.blend, lam)
    same("shares", plan.weight, np.stack([lam, 1 - lam], 1))
    same("partners", plan.partner, draws.partner)
    same("boxes", [*plan.box.T, *plan.shift.T], 0)


def cutmix(given: Given, plan: MixPlan) -> None:
    draws, _ = given
    for i in mixed_ones(draws):
        same("boxes", plan.box[i], cut(draws, i, plan.size))
    pasted(draws, plan)
    same("shifts", plan.shift, 0)


def cut(draws: Draws, i: int, size: Sequence[int]) -> list[int]:
    """The box, cut off at the border."""
    side = math.sqrt(1 - float(draws.lam[i]))
    centres = [int(float(u) * n) for u, n in zip(draws.uniform[i, :2], size, strict=True)]
    halves = [int(n * side) // 2 for n in size]
    start = [max(centre - half, 0) for centre, half in zip(centres, halves, strict=True)]
    stop = [min(centre + half, n) for centre, half, n in zip(centres, halves, size, strict=True)]
    return [*start, *stop]


def attentive_cutmix(given: Given, plan: MixPlan) -> None:
    draws, heatmaps = given
    for i in mixed_ones(draws):
        order = np.argsort(-heatmaps[draws.partner[i]].ravel(), kind="stable")
        tokens = np.zeros_like(plan.tokens[i])
        tokens.flat[order[: AttentiveCutMix().top]] = 1
        same("cells", plan.tokens[i], tokens)
    pasted(draws, plan)
    same("boxes", [*plan.box.T, *plan.shift.T], 0)


def token_mix(given: Given, plan: MixPlan, fewest: float = 0.5) -> None:
    """As many tokens as wanted; blocks may leave some out."""
    draws, _ = given
    wanted = TokenMix().fixed_tokens + TokenMix().added_tokens
    covered = plan.tokens[mixed_ones(draws)].sum((1, 2), dtype=int)
    assert (covered <= wanted).all(), "more tokens than wanted"
    assert (covered >= fewest * wanted).all(), "fewer tokens than wanted"
    pasted(draws, plan)
    same("boxes", [*plan.box.T, *plan.shift.T], 0)


def lone_tokens(given: Given, plan: MixPlan) -> None:
    token_mix(given, plan, fewest=1)


def smmix(given: Given, plan: MixPlan) -> None:
    """The windows with the lowest and the highest sum, among all there are."""
    draws, heatmaps = given
    shortest, longest = SMMix().sides
    for i in mixed_ones(draws):
        side = shortest + int(draws.uniform[i, 0] * (longest - shortest + 1))
        own, its = (sliding_window_view(heatmaps[k], (side, side)).sum((2, 3)) for k in (i, draws.partner[i]))
        to, source = (np.array(np.unravel_index(at, own.shape)) for at in (own.argmin(), its.argmax()))
        tokens = np.zeros_like(plan.tokens[i])
        tokens[to[0] : to[0] + side, to[1] : to[1] + side] = 1
        same("cells", plan.tokens[i], tokens)
        start, stop, read = (at * plan.size // SMMix().grid for at in (to, to + side, source))
        same("boxes", plan.box[i], [*start, *stop])
        same("shifts", plan.shift[i], np.minimum(read, plan.size - (stop - start)) - start)
    pasted(draws, plan)


def random_choice(given: Given, plan: MixPlan) -> None:
    """Mixup where the number is below a half, else CutMix."""
    draws, _ = given
    mixups, cutmixes = draws.members
    for i in mixed_ones(draws):
        blends = draws.uniform[i, 0] < RandomChoice().cumulative[0]
        same("λ", plan.blend[i], mixups.lam[i] if blends else 1)
        same("boxes", plan.box[i], 0 if blends else cut(cutmixes, i, plan.size))
        share = mixups.lam[i] if blends else 1 - shown(plan, i, plan.size).mean()
        same("shares", plan.weight[i], [share, 1 - share])
    same("partners", plan.partner, draws.partner)
    same("shifts", plan.shift, 0)


def pasted(draws: Draws, plan: MixPlan) -> None:
    """Shares are those of the pixels, and nothing is blended."""
    shares = np.array([shown(plan, i, plan.size).mean() for i in range(len(plan.partner))])
    same("shares", plan.weight, np.stack([1 - shares, shares], 1))
    same("λ", plan.blend, 1)
    same("partners", plan.partner, draws.partner)


def mixed_ones(draws: Draws) -> np.ndarray:
    """The numbers of all images but those that are their own partners."""
    return np.flatnonzero(draws.partner != np.arange(len(draws.partner)))


def same(what: str, got: Any, expected: Any) -> None:
    assert np.allclose(got, expected, rtol=0, atol=1e-6), f"other {what}"


# ---- heatmaps


def slopes(index: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Float64 [B, g, g], of 255: the heights of a slope for every sample, at rows and columns [B, g] in cells of a map.

    What bilinear sampling makes of a slope is known, wherever it samples.
    """
    return index[:, None, None] % 16 + 9.0 * rows[:, :, None] + 7.0 * columns[:, None, :]


def heatmap_crop(given: tuple[np.ndarray, np.ndarray], cropped: np.ndarray) -> None:
    """The mean of a slope over a cell is its height in the middle of the cell."""
    index, boxes = given
    grid = cropped.shape[1]
    middles = boxes[:, :2, None] + boxes[:, 2:, None] * (np.arange(grid) + 0.5) / grid
    expected = slopes(index, *(middles * grid - 0.5).transpose(1, 0, 2)) / 255
    assert np.allclose(cropped, expected, rtol=0, atol=1e-5), "other heatmaps"


def resample_heatmaps(heatmaps: np.ndarray, halved: np.ndarray) -> None:
    """Half as many cells: each is the mean of four."""
    count, grid, _ = halved.shape
    same("heatmaps", halved, heatmaps.reshape(count, grid, 2, grid, 2).mean((2, 4)))
