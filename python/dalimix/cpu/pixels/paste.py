"""Pasting on the CPU: boxes of a whole batch at once, as masks of bits or in runs; tokens cell by cell."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dalimix.cpu.pixels.runs import Runs
from dalimix.mix_plan import MixPlan, cells, edges

Mask = np.ndarray | None
FEW_CELLS = 64 * 64  # in a grid: with more, a mask of every pixel is faster than cell by cell


class Paste:
    """Pastes partners band by band: ``paste(rows)`` is [B, rows, W, C], in the images' own dtype.

    It selects bits and computes with no value, so any dtype is pasted exactly, NaN included.
    """

    def __init__(self, plan: MixPlan, images: np.ndarray) -> None:
        """images: [B, H, W, C], a view of any strides, mirrored already."""
        _, height, width, channels = images.shape
        plan = replace(plan, tokens=_beyond_the_box(plan, (height, width)))
        self.plan, self.images = plan, images
        self.ones = -np.ones(1, f"i{images.itemsize}")  # all bits set
        top, left, bottom, right = plan.box.T[:, :, None]
        rows, columns = _between(np.arange(height), top, bottom), _between(np.arange(width), left, right)
        self.boxed = rows & (left < right)
        self.giver = np.where(self.boxed, plan.partner[:, None], np.arange(len(images))[:, None])
        self.in_rows = np.where(rows, self.ones, 0)[:, :, None]
        self.columns = _reach(columns) if plan.tokens is None else slice(0, width)
        in_columns = np.where(columns[:, self.columns], self.ones, 0)
        self.in_columns = np.repeat(in_columns, channels, axis=1)[:, None]
        moved = (plan.blend == 1) & (plan.shift != 0).any(axis=1)
        self.runs = Runs(plan, images) if moved.any() and _in_runs(plan, moved) else None
        self.moved = bool(moved.any()) and self.runs is None
        self.by_cell = plan.tokens is not None and not self.moved and plan.tokens[0].size <= FEW_CELLS
        self.masked = self.moved or (plan.tokens is not None and not self.by_cell)
        self.tokens = _by_cell(plan.tokens, (height, width)) if self.by_cell else []

    def __call__(self, rows: slice) -> np.ndarray:
        """Paste; the result may be a view of the images if nothing is pasted."""
        tokens = [token for token in self.tokens if token.rows.start < rows.stop and token.rows.stop > rows.start]
        mixed = self._without_cells(rows, copied=bool(tokens))
        for token in tokens:
            self._paste_token(mixed, token, rows)
        return mixed

    def _without_cells(self, rows: slice, copied: bool) -> np.ndarray:
        """All but the tokens that are pasted cell by cell."""
        if self.runs is None and not self.masked and self.boxed[:, rows].any():
            return self._with_boxes(rows)
        mixed, mask = self.images[:, rows], self.mask(rows) if self.masked else None
        if copied or mask is not None or self.runs is not None:
            mixed = mixed.copy(order="C")
        if self.runs is not None:
            self.runs(mixed, rows)
        elif mask is not None:
            self._paste_masked(mixed, mask, rows)
        return mixed

    def _with_boxes(self, rows: slice) -> np.ndarray:
        """The columns of the boxes from each row's giver, which is the image itself where there is no box."""
        own, bits = self.images[:, rows, self.columns], f"i{self.images.itemsize}"
        givers = self.giver[:, rows], np.arange(rows.start, rows.stop), self.columns
        mixed = np.ascontiguousarray(self.images[givers])
        own, other = own.view(bits), mixed.view(bits)
        other ^= own
        other &= self.in_columns.reshape(len(own), 1, *own.shape[2:])
        other ^= own  # own ^ ((own ^ other) & mask)
        if mixed.shape[2] == self.images.shape[2]:
            return mixed
        whole: np.ndarray = self.images[:, rows].copy(order="C")
        whole[:, :, self.columns] = mixed
        return whole

    def _paste_masked(self, mixed: np.ndarray, mask: np.ndarray, rows: slice) -> None:
        bits = f"i{mixed.itemsize}"
        own = mixed.view(bits)[:, :, self.columns]
        change = self._partners(rows).view(bits)
        change ^= own
        change &= mask
        own ^= change  # own ^ ((own ^ other) & mask)

    def _paste_token(self, mixed: np.ndarray, token: _Token, rows: slice) -> None:
        """Paste one token in all its samples at once."""
        start, stop = max(token.rows.start, rows.start), min(token.rows.stop, rows.stop)
        givers = self.plan.partner[token.samples]
        mixed[token.samples, start - rows.start : stop - rows.start, token.columns] = self.images[
            givers, start:stop, token.columns
        ]

    def mask(self, rows: slice) -> Mask:
        """Integers [B, rows, columns, C]: all bits set where the partner shows; None if it shows nowhere."""
        in_rows, with_tokens = self.in_rows[:, rows], self.plan.tokens is not None
        if not with_tokens and not in_rows.any():
            return None
        mask = self.in_columns & in_rows
        mask = mask | self._token_mask(rows) if with_tokens else mask
        return mask.reshape(*mask.shape[:2], -1, self.images.shape[3])

    def paste_into(self, mixed: np.ndarray, pasted: np.ndarray, rows: slice, samples: slice | np.ndarray) -> None:
        """Copy what shows of the partners of some samples from `pasted` into `mixed`, both [samples, rows, W, C]."""
        mask = self.mask(rows)
        if mask is not None:
            where = mask[samples] != 0
            np.copyto(mixed[:, :, self.columns], pasted[:, :, self.columns], where=where)

    def _token_mask(self, rows: slice) -> np.ndarray:
        _, height, width, channels = self.images.shape
        tokens = self.plan.tokens
        assert tokens is not None
        row_cells = cells(height, tokens.shape[1])[rows]
        column_cells = np.repeat(cells(width, tokens.shape[2]), channels)
        shown = np.take(np.take(tokens, column_cells, axis=2), row_cells, axis=1)
        return np.where(shown, self.ones, 0)

    def _partners(self, rows: slice) -> np.ndarray:
        """[B, rows, columns, C], a fresh array: what the partners show at these rows and columns."""
        if not self.moved:
            return np.ascontiguousarray(self.images[self.plan.partner, rows, self.columns])
        shift = np.where(self.plan.blend[:, None] == 1, self.plan.shift, 0)
        _, height, width, _ = self.images.shape
        # Where nothing shows, a shift may lead out of the image.
        y = np.clip(np.arange(height)[rows] + shift[:, :1], 0, height - 1)
        x = np.clip(np.arange(width)[self.columns] + shift[:, 1:], 0, width - 1)
        read: np.ndarray = self.images[self.plan.partner[:, None, None], y[:, :, None], x[:, None, :]]
        return read


@dataclass(frozen=True)
class _Token:
    """One cell of the grid: its pixels, and the samples, int [n], in which the partner shows there."""

    rows: slice
    columns: slice
    samples: np.ndarray


def _in_runs(plan: MixPlan, moved: np.ndarray) -> bool:
    """Whether the tokens, which are not in runs, can be pasted cell by cell at their own places."""
    return plan.tokens is None or (plan.tokens[0].size <= FEW_CELLS and not bool(plan.tokens[moved].any()))


def _beyond_the_box(plan: MixPlan, size: tuple[int, int]) -> np.ndarray | None:
    """The plan's tokens without those inside of the box, such as all of SMMix's; None if none are left."""
    if plan.tokens is None or not (plan.box[:, 2:] > plan.box[:, :2]).all(axis=1).any():
        return plan.tokens
    top, left, bottom, right = plan.box.T[:, :, None]
    down, across = (edges(n, g) for g, n in zip(plan.tokens.shape[1:], size, strict=True))
    rows, columns = (top <= down[:-1]) & (down[1:] <= bottom), (left <= across[:-1]) & (across[1:] <= right)
    tokens = plan.tokens & ~(rows[:, :, None] & columns[:, None, :])
    return tokens if tokens.any() else None


def _by_cell(tokens: Any, size: tuple[int, int]) -> list[_Token]:
    """The cells that show the partner in some sample."""
    down, across = (edges(n, g) for g, n in zip(tokens.shape[1:], size, strict=True))
    return [
        _Token(slice(*down[r : r + 2].tolist()), slice(*across[c : c + 2].tolist()), np.flatnonzero(tokens[:, r, c]))
        for r, c in np.argwhere(tokens.any(axis=0))
    ]


def _reach(columns: np.ndarray) -> slice:
    """From the first to the last column that any sample, of bool [B, W], has; all columns if that is most of them.

    Whole rows are contiguous in memory, which is worth more than leaving out a few columns.
    """
    width = columns.shape[1]
    found = np.flatnonzero(columns.any(axis=0))
    first, last = (int(found[0]), int(found[-1])) if len(found) else (0, -1)
    return slice(0, width) if 2 * (last + 1 - first) > width else slice(first, last + 1)


def _between(positions: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    return (low <= positions) & (positions < high)
