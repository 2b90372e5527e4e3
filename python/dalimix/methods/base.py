"""What every mixing method shares."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral, Real
from typing import ClassVar

PAIRINGS = ("random", "flip", "roll")  # in the order of kernels/plan.cuh
PERS = ("sample", "pair", "batch")


def is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def is_whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


@dataclass(frozen=True, kw_only=True)
class Method:
    """A mixing method: frozen parameters, checked when made.

    Args:
        prob: chance in [0, 1] that an image is mixed at all.
        per: who shares random numbers: ``"sample"`` nobody, ``"pair"`` the two images of a pair (they are mixed
            with each other), ``"batch"`` the whole batch.
        pairing: who gives to image i: ``"random"`` permutation, ``"flip"`` image B - 1 - i, ``"roll"`` image i - 1. An
            image that would give to itself stays as it is.

    Raises:
        ValueError: a parameter is out of its range.
    """

    name: ClassVar[str]  # of the planner, on every floor
    prob: float = 1.0
    per: str = "sample"
    pairing: str = "random"

    @property
    def beta(self) -> float | None:
        """λ ~ Beta(beta, beta); None if the method draws no λ."""
        return None

    @property
    def uniforms(self) -> int:
        """How many uniform numbers the method draws per image, the one for `prob` not counted."""
        return 0

    @property
    def token_grid(self) -> tuple[int, int] | None:
        """Rows and columns of the plan's tokens; None if the method pastes no tokens."""
        return None

    @property
    def heatmap_grid(self) -> tuple[int, int] | None:
        """The only grid on which it takes heatmaps; None: it brings those of any grid to its own."""
        return None

    @property
    def keyed(self) -> bool:
        """Whether the method draws a key, from which its kernel makes as many random numbers as it needs."""
        return False

    @property
    def reads_heatmaps(self) -> bool:
        """Whether the method can use a heatmap of every image."""
        return self.needs_heatmaps

    @property
    def needs_heatmaps(self) -> bool:
        """Whether it cannot do without."""
        return False

    @property
    def members(self) -> tuple[Method, ...]:
        """The methods of which this one is made."""
        return ()

    @property
    def partners(self) -> str:
        """The pairing that decides who gives."""
        return self.pairing

    def __post_init__(self) -> None:
        self._require(is_number(self.prob) and 0 <= self.prob <= 1, "prob must be in [0, 1]", self.prob)
        self._require(self.per in PERS, f"per must be one of {PERS}", self.per)
        self._require(self.pairing in PAIRINGS, f"pairing must be one of {PAIRINGS}", self.pairing)
        mutual = self.per != "pair" or self.pairing != "roll"
        self._require(mutual, "per='pair' needs partners that are mutual: pairing 'random' or 'flip'", self.pairing)

    def _require(self, holds: bool, expectation: str, got: object) -> None:
        if not holds:
            raise ValueError(f"{type(self).__name__}: {expectation}, got {got!r}")
