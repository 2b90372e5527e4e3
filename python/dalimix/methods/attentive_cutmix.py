"""Attentive CutMix: the patches of one image that a network looks at most, on another image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dalimix.methods.base import Method

MAX_GRID = 64  # a block of the kernel keeps one heatmap in shared memory


@dataclass(frozen=True)
class AttentiveCutMix(Method):
    """Paste the `top` cells of image j with the highest heatmap onto image i, at their own places.

    Walawalkar et al., "Attentive CutMix: An Enhanced Data Augmentation Approach for Deep Learning Based Image
    Classification", arXiv 2003.13048. The labels follow the pasted pixels. Of equal cells that with the lower index
    (row · grid + column) comes first; NaN, which only a GPU takes, comes last.

    Needs heatmaps, one per image. Those of another grid are brought to this one: along an axis with more cells each new
    cell is the mean over the area that it covers; along one with fewer, values between the old cells' centres are
    interpolated linearly.

    Args:
        top: how many cells, 1 to grid²; or (a, b): drawn from a … b, both ends included.
        grid: cells along each side, 2 to 64.
    """

    name: ClassVar[str] = "attentive_cutmix"
    top: int | tuple[int, int] = 6
    grid: int = 7

    def __post_init__(self) -> None:
        super().__post_init__()
        self._keep_whole("grid", 2, MAX_GRID)
        cells = self.grid**2
        expected = f"a whole number from 1 to {cells}, or (a, b) with a <= b"
        self._keep_one_or_two("top", lambda fewest, most: 1 <= fewest <= most <= cells, expected)

    @property
    def tops(self) -> tuple[int, int]:
        """Fewest and most cells."""
        return self.top if isinstance(self.top, tuple) else (self.top, self.top)

    @property
    def uniforms(self) -> int:
        return int(isinstance(self.top, tuple))

    @property
    def token_grid(self) -> tuple[int, int]:
        return self.grid, self.grid

    @property
    def needs_heatmaps(self) -> bool:
        return True
