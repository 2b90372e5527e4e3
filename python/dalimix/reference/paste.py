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
        self.nothing = not plan.box.any() and plan.tokens is None
        top, left, bottom, right = plan.box.T[:, :, None]
        self.in_rows = _between(np.arange(height), top, bottom)
        columns = _between(np.repeat(np.arange(width), channels), left, right)
        self.in_columns = np.where(columns, self.ones, 0)[:, None]
        self.moved = bool((plan.shift[plan.blend == 1] != 0).any())

    def __call__(self, rows: slice) -> np.ndarray:
        own = np.ascontiguousarray(self.images[:, rows])
        mask = self.mask(rows)
        if mask is None:
            return own
        other = self._partners(rows)
        bits = f"i{own.itemsize}"
        chosen = own.view(bits).reshape(*own.shape[:2], -1)
        difference = other.view(bits).reshape(chosen.shape)
        difference ^= chosen
        difference &= mask
        difference ^= chosen  # own ^ ((own ^ other) & mask)
        return difference.view(own.dtype).reshape(own.shape)

    def mask(self, rows: slice) -> Mask:
        """Integers [B, rows, W C]: all bits set where the partner shows; None if it shows nowhere."""
        if self.nothing:
            return None
        mask = self.in_columns & np.where(self.in_rows[:, rows, None], self.ones, 0)
        return mask if self.plan.tokens is None else mask | self._token_mask(rows)

    def shown(self, rows: slice, samples: np.ndarray) -> Mask:
        """Bool [samples, rows, W, C]: where the partner shows; None if it shows nowhere."""
        mask = self.mask(rows)
        if mask is None:
            return None
        return (mask[samples] != 0).reshape(len(samples), -1, *self.images.shape[2:])

    def _token_mask(self, rows: slice) -> np.ndarray:
        _, height, width, channels = self.images.shape
        tokens = self.plan.tokens
        assert tokens is not None
        row_cells = cells(height, tokens.shape[1])[rows]
        column_cells = np.repeat(cells(width, tokens.shape[2]), channels)
        shown = np.take(np.take(tokens, column_cells, axis=2), row_cells, axis=1)
        return np.where(shown, self.ones, 0)

    def _partners(self, rows: slice) -> np.ndarray:
        """[B, rows, W, C], a fresh array: what each partner has at the places of these rows."""
        if not self.moved:
            return np.ascontiguousarray(self.images[self.plan.partner, rows])
        shift = np.where(self.plan.blend[:, None] == 1, self.plan.shift, 0)
        _, height, width, _ = self.images.shape
        y = np.clip(np.arange(height)[rows] + shift[:, :1], 0, height - 1)
        x = np.clip(np.arange(width) + shift[:, 1:], 0, width - 1)
        return self.images[self.plan.partner[:, None, None], y[:, :, None], x[:, None, :]]


def _between(positions: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    return (low <= positions) & (positions < high)


def cells(pixels: int, grid: int) -> np.ndarray:
    """The cell of every pixel; cell r covers ⌊r·pixels/grid⌋ to ⌊(r+1)·pixels/grid⌋."""
    return ((np.arange(pixels) + 1) * grid - 1) // pixels
