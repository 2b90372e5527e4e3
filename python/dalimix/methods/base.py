"""What every mixing method shares."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Any, ClassVar, Literal

from dalimix.support.checked import Checked
from dalimix.support.numbers import is_number

Per = Literal["sample", "pair", "batch"]
Pairing = Literal["random", "flip", "roll"]
PAIRINGS = ("random", "flip", "roll")  # in the order of kernels/include/plan.cuh
PERS = ("sample", "pair", "batch")
ALPHAS = 1e-30, 1e30  # of a Beta distribution


@dataclass(frozen=True, kw_only=True)
class Method(Checked):
    """A mixing method: frozen parameters, checked when it is made.

    Args:
        prob: probability in [0, 1] that an image is mixed at all.
        per: which images share random numbers: with ``"sample"`` none, with ``"pair"`` the two images of a pair (they
            are mixed with each other), with ``"batch"`` the whole batch.
        pairing: which image gives to image i: ``"random"`` that of a permutation, ``"flip"`` image B - 1 - i,
            ``"roll"`` image i - 1. An image that would give to itself stays as it is.

    Raises:
        ValueError: a parameter is out of its range.

    Examples:
        >>> timm_batch_mode = CutMix(alpha=1.0, prob=0.5, per="batch", pairing="flip")
        >>> timm_batch_mode.prob, timm_batch_mode.pairing, isinstance(timm_batch_mode, Method)
        (0.5, 'flip', True)
        >>> CutMix(alpha=-1)
        Traceback (most recent call last):
        ValueError: CutMix: alpha must be above 0, got -1
    """

    name: ClassVar[str]  # of the planner, on every floor
    prob: float = 1.0
    per: Per = "sample"
    pairing: Pairing = "random"

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
        """The only grid on which the method takes heatmaps; None if it resamples those of any grid."""
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
        """Whether the method cannot do without heatmaps."""
        return False

    @property
    def members(self) -> tuple[Method, ...]:
        """The methods that this one chooses from."""
        return ()

    @property
    def partners(self) -> str:
        """The pairing that decides which image gives."""
        return self.pairing

    def __post_init__(self) -> None:
        self._keep_number("prob", 0, 1, "in [0, 1]")
        self._require(isinstance(self.per, str) and self.per in PERS, f"per must be one of {PERS}", self.per)
        known = isinstance(self.pairing, str) and self.pairing in PAIRINGS
        self._require(known, f"pairing must be one of {PAIRINGS}", self.pairing)
        mutual = self.per != "pair" or self.pairing != "roll"
        self._require(mutual, "per='pair' needs partners that are mutual: pairing 'random' or 'flip'", self.pairing)

    def _keep_alpha(self, expectation: str = "above 0") -> None:
        """Require a parameter of a Beta distribution; beyond `ALPHAS` the numbers drawn would not follow it."""
        alpha: Any = getattr(self, "alpha", None)
        self._require(is_number(alpha) and 0 < alpha < inf, f"alpha must be {expectation}", alpha)
        self._keep_number("alpha", *ALPHAS, "from {:g} to {:g}".format(*ALPHAS))
