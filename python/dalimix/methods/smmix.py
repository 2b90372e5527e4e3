"""SMMix: the region of one image that a model attends to most, pasted over the least attended region of another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dalimix.methods.base import Method
from dalimix.support.numbers import is_number

MAX_GRID = 64  # a block of the kernel keeps the sums of one heatmap in shared memory


@dataclass(frozen=True)
class SMMix(Method):
    """Paste the square region of image j with the highest heatmap sum over the region of image i with the lowest.

    Chen et al., "SMMix: Self-Motivated Image Mixing for Vision Transformers", arXiv 2212.12977. The heatmaps are the
    attention of the model under training. The side is drawn from ⌊g·min_side⌋ … ⌊g·max_side⌋ cells, both ends included,
    where g is the shorter side of the grid. Of equal regions, the one with the lower index counts; a region with NaN in
    it, which only a GPU accepts, is ranked last. The labels follow the pasted pixels: side²/grid² where the grid
    divides the image.

    The method needs one heatmap per image on its own grid, which is that of the model's tokens, so that ``plan.tokens``
    tells which image each token shows.

    Args:
        min_side: shortest side, a share of the grid's shorter side; at least one cell.
        max_side: longest side, likewise, up to 1.
        grid: cells along each side, 2 to 64; or (rows, columns).

    Raises:
        ValueError: a parameter is out of its range.

    Examples:
        >>> method = SMMix(min_side=0.5, max_side=0.5, grid=4, pairing="flip")
        >>> heatmaps = np.zeros((2, 4, 4), np.float32)
        >>> heatmaps[:, 2:, 2:] = 1  # the object is at the lower right
        >>> plan = dalimix.plan(method, dalimix.draw(method, 2, rng=0), size=32, heatmaps=heatmaps)
        >>> plan.box[0].tolist(), plan.shift[0].tolist()  # pasted at the upper left
        ([0, 0, 16, 16], [16, 16])
    """

    name: ClassVar[str] = "smmix"
    min_side: float = 0.25
    max_side: float = 0.75
    grid: int | tuple[int, int] = 14

    def __post_init__(self) -> None:
        super().__post_init__()
        expected = f"a whole number from 2 to {MAX_GRID}, or two of them"
        self._keep_one_or_two("grid", lambda *sides: min(sides) >= 2 and max(sides) <= MAX_GRID, expected)
        numbers = all(map(is_number, (self.min_side, self.max_side)))
        ordered = numbers and 0 < self.min_side <= self.max_side <= 1
        both = self.min_side, self.max_side
        self._require(ordered, "sides must be 0 < min_side <= max_side <= 1, shares of the grid", both)
        for name, share in zip(("min_side", "max_side"), both, strict=True):
            object.__setattr__(self, name, float(share))
        least = f"min_side must be at least one of the {min(self.token_grid)} cells of the grid"
        self._require(self.sides[0] >= 1, least, self.min_side)

    @property
    def sides(self) -> tuple[int, int]:
        """Shortest and longest side in cells. A tiny amount is added before rounding down: 0.29 · 100 is below 29."""
        shortest, longest = (int(share * min(self.token_grid) + 1e-9) for share in (self.min_side, self.max_side))
        return shortest, longest

    @property
    def uniforms(self) -> int:
        return 1

    @property
    def token_grid(self) -> tuple[int, int]:
        return self.grid if isinstance(self.grid, tuple) else (self.grid, self.grid)

    @property
    def heatmap_grid(self) -> tuple[int, int]:
        return self.token_grid

    @property
    def needs_heatmaps(self) -> bool:
        return True
