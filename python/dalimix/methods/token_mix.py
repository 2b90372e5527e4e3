"""TokenMix: tokens of one image pasted onto another in blocks, with labels by their activation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import exp, log
from typing import ClassVar

from dalimix.methods.base import Method
from dalimix.support.numbers import is_whole

MAX_GRID = 32  # the kernel keeps a row of tokens in each lane of a warp
MOST_STRETCHED = 0.3  # smallest ratio of the sides of a block


@dataclass(frozen=True)
class TokenMix(Method):
    """Paste tokens of image j, in several blocks, at the same places of image i.

    Liu et al., "TokenMix: Rethinking Image Mixing for Data Augmentation in Vision Transformers", arXiv 2207.08409.
    ``min(grid², ⌊(1 − λ) grid²⌋ + min_tokens)`` tokens are wanted. Blocks are added until they are covered: the area is
    drawn from 1 to what is left, height / width log-uniformly from 0.3 to 1/0.3, the sides √(area · aspect) and
    √(area / aspect) are rounded, and a block that is smaller than the grid is placed anywhere inside. It is taken if it
    covers between 1 and what is left of new tokens. After ten tries in a row that are not taken, the mask stays as it
    is, with fewer tokens.

    With heatmaps, ≥ 0, such as a teacher's activation of each image's own class, the labels follow the activation that
    shows: the share of image i's heatmap outside the tokens, and of image j's inside; the two need not add up to 1.
    Values below 0 count as 0, so that a map which is nowhere above 0 gives its image no share at all. On a GPU, where
    the values are not checked, NaN counts as 0, too, and a map that is all NaN, or has infinity in it, makes the share
    NaN. Without heatmaps, the labels follow the pixels.

    Args:
        lam: λ in [0, 1], if it is not drawn.
        alpha: draw λ ~ Beta(alpha, alpha) instead; None: λ is `lam`.
        grid: tokens along each side, 2 to 32.
        min_tokens: added to the number of tokens, from 0.
        blocks: False: as many single tokens, anywhere.

    Raises:
        ValueError: a parameter is out of its range.

    Examples:
        >>> method = TokenMix(lam=0.5, grid=8, min_tokens=0, blocks=False, pairing="flip")
        >>> plan = dalimix.plan(method, dalimix.draw(method, batch_size=4, rng=0), size=32)
        >>> plan.tokens.sum(axis=(1, 2)).tolist()  # of 64
        [32, 32, 32, 32]
        >>> plan.weight[0].tolist()
        [0.5, 0.5]
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
        """⌊(1 − λ) grid²⌋, None if λ is drawn. A tiny amount is added first, as (1 − 0.9) · 100 is below 10."""
        return None if self.alpha is not None else int((1 - self.lam) * self.grid**2 + 1e-9)

    @property
    def added_tokens(self) -> int:
        """`min_tokens`, or all tokens if there are fewer."""
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
    """Return 1024 quantiles of height / width, log-uniform from 0.3 to 1/0.3.

    They are a table because no two math libraries agree on every last bit of exp, and a block would then differ.
    """
    low, count = log(MOST_STRETCHED), 1024
    return tuple(exp(low - 2 * low * (k + 0.5) / count) for k in range(count))
