"""TokenMix: tokens of one image on another, in blocks, labelled by what they show."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import exp, log
from typing import ClassVar

from dalimix.methods.base import Method
from dalimix.support.numbers import is_whole

MAX_GRID = 32  # the kernel keeps a row of tokens in each lane of a warp
MOST_STRETCHED = 0.3  # of the sides of a block


@dataclass(frozen=True)
class TokenMix(Method):
    """Paste tokens of image j, in several blocks, at the same places of image i.

    Liu et al., "TokenMix: Rethinking Image Mixing for Data Augmentation in Vision Transformers", arXiv 2207.08409.
    ``min(grid², ⌊(1 − λ) grid²⌋ + min_tokens)`` tokens are wanted. Blocks are added until they are covered: the area is
    drawn from 1 to what is left, height / width log-uniformly from 0.3 to 1/0.3, the sides √(area · aspect) and
    √(area / aspect) are rounded, and a block that is smaller than the grid is placed anywhere inside. It is taken if it
    covers between 1 and what is left of new tokens. Ten tries in a row that are not taken end it, with fewer tokens.

    With heatmaps, ≥ 0, such as a teacher's activation of each image's own class, the labels follow what shows of them:
    the share of image i's heatmap outside the tokens, and of image j's inside; the two need not add up to 1. What is
    below 0 counts as 0, so that a map which is nowhere above 0 gives its image no share at all. On a GPU, where nobody
    looks, NaN counts as 0, too, and a map that is NaN all over, or has infinity in it, makes the share NaN. Without
    heatmaps, the labels follow the pixels.

    Args:
        lam: λ in [0, 1], if it is not drawn.
        alpha: draw λ ~ Beta(alpha, alpha) instead; None: do not.
        grid: tokens along each side, 2 to 32.
        min_tokens: added to the number of tokens, from 0.
        blocks: False: as many tokens, each by itself, anywhere.
    """

    name: ClassVar[str] = "token_mix"
    lam: float = 0.5
    alpha: float | None = None
    grid: int = 14
    min_tokens: int = 14
    blocks: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self._keep_number("lam", 0, 1, "in [0, 1]")
        if self.alpha is not None:
            self._keep_alpha("above 0, or None")
        self._keep_whole("grid", 2, MAX_GRID)
        whole = is_whole(self.min_tokens) and self.min_tokens >= 0
        self._require(whole, "min_tokens must be a whole number from 0", self.min_tokens)
        object.__setattr__(self, "min_tokens", int(self.min_tokens))
        self._keep_truth("blocks")

    @property
    def fixed_tokens(self) -> int | None:
        """⌊(1 − λ) grid²⌋, None if λ is drawn; a hair more before it is cut off, as (1 − 0.9) · 100 is below 10."""
        return None if self.alpha is not None else int((1 - self.lam) * self.grid**2 + 1e-9)

    @property
    def added_tokens(self) -> int:
        """`min_tokens`, or as many as there are."""
        return min(self.min_tokens, self.grid**2)

    @property
    def beta(self) -> float | None:
        return self.alpha

    @property
    def keyed(self) -> bool:
        return True

    @property
    def token_grid(self) -> tuple[int, int]:
        return self.grid, self.grid

    @property
    def reads_heatmaps(self) -> bool:
        return True


@cache
def aspects() -> tuple[float, ...]:
    """1024 quantiles of height / width, log-uniform from 0.3 to 1/0.3.

    A table, because no two math libraries agree on every last bit of exp, and a block would be another one.
    """
    low, count = log(MOST_STRETCHED), 1024
    return tuple(exp(low - 2 * low * (k + 0.5) / count) for k in range(count))
