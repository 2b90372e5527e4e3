"""Attentive CutMix: the patches of one image that a network attends to most, pasted onto another image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dalimix.methods.base import Method

MAX_GRID = 64  # a block of the kernel keeps one heatmap in shared memory


@dataclass(frozen=True)
class AttentiveCutMix(Method):
    """Paste the `top` cells of image j with the highest heatmap values onto image i, each at its own place.

    Walawalkar et al., "Attentive CutMix: An Enhanced Data Augmentation Approach for Deep Learning Based Image
    Classification", arXiv 2003.13048. The labels follow the pasted pixels. Of equal cells, the one with the lower index
    (row · grid + column) comes first; NaN, which only a GPU accepts, comes last.

    The method needs one heatmap per image. A heatmap on another grid is resampled: along an axis with more cells, each
    new cell is the mean over the area that it covers; along an axis with fewer cells, values are interpolated linearly
    between the centres of the old cells.

    Args:
        top: how many cells, 1 to grid²; or (a, b): drawn from a … b, both ends included.
        grid: cells along each side, 2 to 64.

    Raises:
        ValueError: a parameter is out of its range.

    Examples:
        >>> method = AttentiveCutMix(top=6, grid=7)
        >>> heatmaps = np.random.default_rng(0).random((4, 7, 7))
        >>> plan = dalimix.plan(method, dalimix.draw(method, 4, rng=0), size=28, heatmaps=heatmaps)
        >>> plan.tokens.sum(axis=(1, 2)).tolist()  # image 3 is its own partner
        [6, 6, 6, 0]
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
