"""Pasting boxes that are read elsewhere than written, on the CPU: whole runs of pixels at a time."""

from __future__ import annotations

import numpy as np

from dalimix.mix_plan import MixPlan


class Runs:
    """``runs(mixed, rows)`` pastes the boxes in these rows into `mixed`, in the images' own dtype, NaN included.

    Runs of one length are copied together, each as one item of bytes: pixel by pixel would take ten times as long.
    """

    def __init__(self, plan: MixPlan, images: np.ndarray) -> None:
        """images: [B, H, W, C], a view of any strides, mirrored already."""
        self.images, self.partner = np.ascontiguousarray(images), plan.partner
        self.top, self.left, self.bottom, right = plan.box.T
        self.width = right - self.left
        self.down, self.across = np.where(plan.blend == 1, plan.shift.T, 0)

    def __call__(self, mixed: np.ndarray, rows: slice) -> None:
        """mixed: [B, rows, W, C], contiguous."""
        y = np.arange(rows.start, rows.stop)
        shown = (self.top[:, None] <= y) & (y < self.bottom[:, None]) & (self.width[:, None] > 0)
        sample, row = np.nonzero(shown)
        for width in np.unique(self.width[sample]):
            own = self.width[sample] == width
            self._copy(mixed, sample[own], row[own], rows.start, int(width))

    def _copy(self, mixed: np.ndarray, sample: np.ndarray, row: np.ndarray, first: int, width: int) -> None:
        left = self.left[sample]
        source = self.partner[sample], row + first + self.down[sample], left + self.across[sample]
        _items(mixed, width)[sample, row, left] = _items(self.images, width)[source]


def _items(images: np.ndarray, width: int) -> np.ndarray:
    """[B, H, W - width + 1]: every run of `width` pixels as one item, at its first pixel."""
    size, height, full, channels = images.shape
    item = f"V{width * channels * images.itemsize}"
    shape = size, height, full - width + 1
    items: np.ndarray = np.ndarray(shape, item, images, strides=images.strides[:3])
    return items
