"""mixup: the whole of two images, blended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dalimix.methods.base import Method


@dataclass(frozen=True)
class Mixup(Method):
    """λ xᵢ + (1 − λ) xⱼ with λ ~ Beta(alpha, alpha); the labels are mixed alike.

    Zhang et al., "mixup: Beyond Empirical Risk Minimization", arXiv 1710.09412.

    Args:
        alpha: of the Beta distribution, above 0. The default is that of timm's and DeiT's recipes.
    """

    name: ClassVar[str] = "mixup"
    alpha: float = 0.8

    def __post_init__(self) -> None:
        super().__post_init__()
        self._keep_alpha()

    @property
    def beta(self) -> float:
        return self.alpha
