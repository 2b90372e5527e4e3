"""CutMix: a box of one image on another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dalimix.methods.base import Method
from dalimix.support.numbers import is_number, is_pair


@dataclass(frozen=True)
class CutMix(Method):
    """Paste a box of image j at the same place of image i; the labels follow the area.

    Yun et al., "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features",
    arXiv 1905.04899. λ ~ Beta(alpha, alpha); the box has √(1 − λ) of each side around a centre drawn
    anywhere, and is cut off at the border.

    Args:
        alpha: of the Beta distribution, above 0.
        ratio_minmax: (a, b) with 0 ≤ a ≤ b ≤ 1: draw each side from ⌊a·n⌋ … ⌊b·n⌋ pixels, both ends included,
            and place the box anywhere inside the image; λ is not used, and the labels always follow the area.
        correct_lam: whether the labels follow the area of the clipped box; False: λ as it was drawn.

    Raises:
        ValueError: a parameter is out of its range.

    Examples:
        >>> method = CutMix(ratio_minmax=(0.25, 0.25))  # a quarter of each side
        >>> plan = dalimix.plan(method, dalimix.draw(method, batch_size=4, rng=0), size=32)
        >>> (plan.box[:3, 2:] - plan.box[:3, :2]).tolist()  # image 3 is its own partner
        [[8, 8], [8, 8], [8, 8]]
        >>> plan.weight[0].tolist()
        [0.9375, 0.0625]
    """

    name: ClassVar[str] = "cutmix"
    alpha: float = 1.0
    ratio_minmax: tuple[float, float] | None = None
    correct_lam: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self._keep_alpha()
        self._keep_truth("correct_lam")
        if self.ratio_minmax is not None:
            ordered = (
                is_pair(self.ratio_minmax) and all(map(is_number, self.ratio_minmax)) and self.ratio_minmax[0] >= 0
            )
            ordered = ordered and self.ratio_minmax[0] <= self.ratio_minmax[1] <= 1
            self._require(ordered, "ratio_minmax must be (a, b) with 0 <= a <= b <= 1", self.ratio_minmax)
            object.__setattr__(self, "ratio_minmax", tuple(map(float, self.ratio_minmax)))  # hashable

    @property
    def beta(self) -> float:
        return self.alpha

    @property
    def uniforms(self) -> int:
        return 2 if self.ratio_minmax is None else 4

    def sides(self, pixels: int) -> tuple[int, int]:
        """Return the shortest and the longest side of a box along `pixels`, by ratio_minmax; (-1, -1) without it."""
        if self.ratio_minmax is None:
            return -1, -1
        return int(pixels * self.ratio_minmax[0]), int(pixels * self.ratio_minmax[1])

    @property
    def labels_follow_area(self) -> bool:
        return self.correct_lam or self.ratio_minmax is not None
