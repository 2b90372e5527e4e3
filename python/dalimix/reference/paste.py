"""Pasting for the NumPy twin: boxes and tokens of a whole batch at once, as masks of bits."""

from __future__ import annotations

import numpy as np

from dalimix.mix_plan import MixPlan

Mask = np.ndarray | None


class Paste:
    """Pastes partners band by band: ``paste(rows)`` is [B, rows, W, C], in the images' own dtype.

    Bits are selected, values never computed with, so any dtype is pasted exactly, NaN included.
    """

    def __init__(self, plan: MixPlan, images: np.ndarray) -> None:
        """images: [B, H, W, C], a view of any strides, mirrored already."""
        self.plan, self.images = plan, images
        _, height, width, channels = images.shape
        self.ones = -np.ones(1, f"i{images.itemsize}")  # all bits set
        top, left, bottom, right = plan.box.T[:, :, None]
        rows, columns = _between(np.arange(height), top, bottom), _between(np.arange(width), left, right)
        self.in_rows = np.where(rows, self.ones, 0)[:, :, None]
        self.columns = _reach(columns) if plan.tokens is None else slice(0, width)
        in_columns = np.where(columns[:, self.columns], self.ones, 0)
        self.in_columns = np.repeat(in_columns, channels, axis=1)[:, None]
        self.moved = bool((plan.shift[plan.blend == 1] != 0).any())

    def __call__(self, rows: slice) -> np.ndarray:
        """May be a view of the images where nothing is pasted."""
        mask = self.mask(rows)
        if mask is None:
            return self.images[:, rows]
        mixed = self.images[:, rows].copy(order="C")
        bits = f"i{mixed.itemsize}"
        own = mixed.view(bits)[:, :, self.columns]
        change = self._partners(rows).view(bits)
        change ^= own
        change &= mask
        own ^= change  # own ^ ((own ^ other) & mask)
        return mixed

    def mask(self, rows: slice) -> Mask:
        """Integers [B, rows, columns, C]: all bits set where the partner shows; None if it shows nowhere."""
        in_rows = self.in_rows[:, rows]
        if self.plan.tokens is None and not in_rows.any():
            return None
        mask = self.in_columns & in_rows
        mask = mask if self.plan.tokens is None else mask | self._token_mask(rows)
        return mask.reshape(*mask.shape[:2], -1, self.images.shape[3])

    def paste_into(self, mixed: np.ndarray, pasted: np.ndarray, rows: slice, samples: np.ndarray) -> None:
        """Copy what shows of the partners in some samples from `pasted`, [samples, rows, W, C], into `mixed`, alike."""
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
        """[B, rows, columns, C], a fresh array: what each partner has at the places of these rows and columns."""
        if not self.moved:
            return np.ascontiguousarray(self.images[self.plan.partner, rows, self.columns])
        shift = np.where(self.plan.blend[:, None] == 1, self.plan.shift, 0)
        _, height, width, _ = self.images.shape
        y = np.clip(np.arange(height)[rows] + shift[:, :1], 0, height - 1)
        x = np.clip(np.arange(width)[self.columns] + shift[:, 1:], 0, width - 1)
        return self.images[self.plan.partner[:, None, None], y[:, :, None], x[:, None, :]]


def _reach(columns: np.ndarray) -> slice:
    """From the first to the last column that any sample, of bool [B, W], has; all where that is most of them.

    Whole rows lie together in memory, which is worth more than to leave out a few columns.
    """
    width = columns.shape[1]
    found = np.flatnonzero(columns.any(axis=0))
    first, last = (int(found[0]), int(found[-1])) if len(found) else (0, -1)
    return slice(0, width) if 2 * (last + 1 - first) > width else slice(first, last + 1)


def _between(positions: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    return (low <= positions) & (positions < high)


def cells(pixels: int, grid: int) -> np.ndarray:
    """The cell of every pixel; cell r covers ⌊r·pixels/grid⌋ to ⌊(r+1)·pixels/grid⌋."""
    return ((np.arange(pixels) + 1) * grid - 1) // pixels
