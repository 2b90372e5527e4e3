"""mixup: two whole images, blended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dalimix.methods.base import Method


@dataclass(frozen=True)
class Mixup(Method):
    """Blend λ xᵢ + (1 − λ) xⱼ with λ ~ Beta(alpha, alpha); the labels are mixed in the same way.

    Zhang et al., "mixup: Beyond Empirical Risk Minimization", arXiv 1710.09412.

    Args:
        alpha: of the Beta distribution, above 0. The default is that of timm's and DeiT's recipes.

    Raises:
        ValueError: a parameter is out of its range.

    Examples:
        >>> method = Mixup(alpha=0.2, pairing="flip")
        >>> draws = dalimix.draw(method, batch_size=4, rng=0)
        >>> plan = dalimix.plan(method, draws, size=32)
        >>> plan.partner.tolist(), bool((plan.blend == draws.lam).all())
        ([3, 2, 1, 0], True)
    """

    name: ClassVar[str] = "mixup"
    alpha: float = 0.8

    def __post_init__(self) -> None:
        super().__post_init__()
        self._keep_alpha()

    @property
    def beta(self) -> float:
        return self.alpha
