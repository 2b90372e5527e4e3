"""The rows of a sheet of mixed images: the most telling samples of a batch, and their labels in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dalimix import MixPlan
from dalimix.mix_plan import cells

BALANCED = 0.15  # a sample is telling if the second class has at least this share of the label
MENTIONED = 0.005  # smaller shares are left out of the words


@dataclass(frozen=True)
class SheetRow:
    """One mixed image and where it comes from, all in the frame of the output.

    Attributes:
        method: name of the method, such as "CutMix"; neighbouring rows of one name form a group.
        receiver: uint8 [H, W, 3], the image that was mixed into.
        giver: uint8 [H, W, 3], its partner.
        mixed: uint8 [H, W, 3], the result.
        where: float32 [H, W] in [0, 1], the giver's share of every pixel.
        label: the soft label in words, a part for each class, such as ("63 % cat", "37 % coffee").
        shares: what receiver and giver count for in the label, in this order; they need not add up to 1.
        heatmap: float32 [gh, gw], the giver's heatmap; None for a method that reads none.
        source: (y0, x0, y1, x1), the box of the giver that is pasted elsewhere; None if all keeps its place.
        classes: the names of the classes in the label.
    """

    method: str
    receiver: np.ndarray
    giver: np.ndarray
    mixed: np.ndarray
    where: np.ndarray
    label: tuple[str, ...]
    shares: tuple[float, ...]
    heatmap: np.ndarray | None = None
    source: tuple[int, ...] | None = None
    classes: tuple[str, ...] = ()


def rows_of_batch(
    method: str,
    images: np.ndarray,
    mixed: np.ndarray,
    plan: MixPlan,
    targets: np.ndarray,
    classes: Sequence[str],
    count: int,
    heatmaps: np.ndarray | None = None,
) -> list[SheetRow]:
    """The most telling samples of a batch: two classes, both with a fair share, and different ones in every row.

    Args:
        method: name of the method.
        images: uint8 [B, H, W, 3], as they were mixed (mirrored already).
        mixed: uint8 [B, H, W, 3], the result.
        plan: of the batch, NumPy arrays.
        targets: float32 [B, C], the soft labels.
        classes: C names.
        count: how many rows at most; fewer come back if fewer images were mixed.
        heatmaps: float32 [B, gh, gw], if the method reads them; as the images, so mirrored already.

    Returns:
        Rows of different receivers, the same ones for the same batch.

    Raises:
        ValueError: the arrays are not of one batch, or `classes` are not C.
    """
    _check_one_batch(images, mixed, plan, targets, heatmaps)
    if len(classes) != targets.shape[1]:
        raise ValueError(f"targets have {targets.shape[1]} shares, but there are {len(classes)} class names")
    rows = []
    for i in _telling(plan, targets, count):
        partner, where = plan.partner[i], _where(plan, i, images.shape[1:3])
        mentioned = _mentioned(targets[i])
        words, names = _words(targets[i], mentioned, classes), tuple(classes[c] for c in mentioned)
        shares, source = tuple(plan.weight[i].tolist()), _source(plan, i)
        heatmap = None if heatmaps is None else heatmaps[partner]
        pictures = images[i], images[partner], mixed[i], where
        rows.append(SheetRow(method, *pictures, words, shares, heatmap, source, names))
    return rows


def _mentioned(target: np.ndarray) -> list[int]:
    """The classes of a soft label, the largest share first."""
    shares = np.asarray(target, np.float64)
    return [int(c) for c in np.argsort(-shares, kind="stable") if shares[c] >= MENTIONED]


def _words(target: np.ndarray, mentioned: Sequence[int], classes: Sequence[str]) -> tuple[str, ...]:
    """A part for each class; never without any."""
    # round() goes to the even number at a half, so that two shares of x.5 still add up to 100
    words = [f"{max(1, round(100 * float(target[c])))} % {classes[c]}" for c in mentioned]
    return tuple(words) or ("no class above 0.5 %",)


def classes_on(rows: Sequence[SheetRow]) -> set[str]:
    """The names of classes in the labels of some rows."""
    return {name for row in rows for name in row.classes}


def _check_one_batch(
    images: np.ndarray, mixed: np.ndarray, plan: MixPlan, targets: np.ndarray, heatmaps: np.ndarray | None
) -> None:
    arrays = [images, mixed, plan.partner, targets, *([] if heatmaps is None else [heatmaps])]
    if len({len(array) for array in arrays}) > 1 or images.shape != mixed.shape:
        shapes = f"images {images.shape}, mixed {mixed.shape}, plan of {len(plan.partner)}, targets {targets.shape}"
        shapes += "" if heatmaps is None else f", heatmaps {heatmaps.shape}"
        raise ValueError(f"not of one batch: {shapes}")


def _telling(plan: MixPlan, targets: np.ndarray, count: int) -> list[int]:
    """Samples with a partner, first those of two classes with fair shares; then those of classes shown least."""
    shares = targets / np.maximum(targets.sum(axis=1, keepdims=True), 1e-8)
    top = np.argsort(-shares, axis=1, kind="stable")[:, :2]
    second = np.take_along_axis(shares, top, axis=1)[:, 1:].sum(axis=1)  # 0 if there is one class only
    fair = np.minimum(second, BALANCED)
    shown = np.zeros(targets.shape[1], int)
    left = [i for i in range(len(targets)) if plan.partner[i] != i]
    chosen: list[int] = []
    while left and len(chosen) < count:
        best = min(left, key=lambda i: (-fair[i], shown[top[i]].sum(), i))
        left.remove(best)
        chosen.append(best)
        shown[top[best]] += 1
    return chosen


def _where(plan: MixPlan, i: int, size: tuple[int, ...]) -> np.ndarray:
    """Float32 [H, W]: the giver's share of every pixel of sample i."""
    where = np.full(size, 1 - plan.blend[i], np.float32)
    top, left, bottom, right = plan.box[i]
    where[top:bottom, left:right] = 1
    if plan.tokens is not None:
        rows, columns = (cells(n, g) for n, g in zip(size, plan.tokens.shape[1:], strict=True))
        where[plan.tokens[i][np.ix_(rows, columns)] != 0] = 1
    return where


def _source(plan: MixPlan, i: int) -> tuple[int, ...] | None:
    """The box of the giver that sample i shows elsewhere."""
    moved = plan.blend[i] == 1 and plan.shift[i].any()
    return tuple((plan.box[i].reshape(2, 2) + plan.shift[i]).ravel().tolist()) if moved else None
