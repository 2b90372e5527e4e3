"""One of several methods for each image, pair or batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, chain
from math import isclose, lcm
from typing import ClassVar

import numpy as np

from dalimix.methods.base import Method
from dalimix.methods.cutmix import CutMix
from dalimix.methods.mixup import Mixup
from dalimix.support.numbers import is_number

MAX_TOKEN_GRID = 512  # a finer grid would only cost memory


@dataclass(frozen=True)
class RandomChoice(Method):
    """Choose one of `methods` with probabilities `p`, per sample, pair or batch.

    Each method keeps its own `prob`, `per` and `pairing`; the `prob` given here is the probability that any of them is
    used at all. Partners are those of the chosen method, so `pairing` is not given here.

    Args:
        methods: one or more methods; by default timm's pair of Mixup and CutMix.
        p: their probabilities, in the same order, which add up to 1; None: all equal.
        per: which images share the choice. ``"pair"`` needs methods that all have ``per="pair"`` and the same pairing.

    Raises:
        ValueError: a parameter is out of its range, or the methods do not go together.

    Examples:
        >>> method = RandomChoice([Mixup(alpha=0.8), CutMix(alpha=1.0)], p=[0.25, 0.75], per="batch")
        >>> draws = dalimix.draw(method, batch_size=4, rng=0)
        >>> len(draws.members)  # each method has its own random numbers
        2
    """

    name: ClassVar[str] = "random_choice"
    methods: Sequence[Method] = (Mixup(), CutMix())
    p: Sequence[float] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(isinstance(self.methods, Sequence), "methods must be a list of methods", self.methods)
        object.__setattr__(self, "methods", tuple(self.methods))  # a list given by the user may change later
        count = len(self.methods)
        self._require(count > 0, "methods must not be empty", self.methods)
        instances = all(isinstance(member, Method) for member in self.methods)
        self._require(instances, "methods must be instances of mixing methods", self.methods)
        object.__setattr__(self, "p", (1 / count,) * count if self.p is None else self._chances())
        self._require(len(self.shares) == count, f"p must have {count} chances, one per method", self.p)
        proper = all(0 <= share <= 1 for share in self.shares)
        proper = proper and isclose(sum(map(float, self.shares)), 1, abs_tol=1e-6)
        self._require(proper, "p must be chances that add up to 1", self.p)
        object.__setattr__(self, "p", tuple(map(float, self.shares)))
        self._require(self.pairing == "random", "pairing belongs to the methods inside", self.pairing)
        kinds = sorted({(member.per, member.partners) for member in self.methods})
        together = self.per != "pair" or (len(kinds) == 1 and kinds[0][0] == "pair")
        self._require(together, "per='pair' needs methods with per='pair' and one pairing", kinds)
        grids = self._heatmap_grids
        self._require(len(grids) <= 1, "methods must take heatmaps of one grid", grids)
        fits = max(self.token_grid or (0,)) <= MAX_TOKEN_GRID
        self._require(fits, f"grids must have a common multiple up to {MAX_TOKEN_GRID}", self._token_grids)

    def _chances(self) -> tuple[float, ...]:
        """`p` as a tuple of numbers, also from an array."""
        given = self.p.tolist() if isinstance(self.p, np.ndarray) else self.p
        numbers = isinstance(given, Sequence) and all(map(is_number, given))
        self._require(numbers, "p must be a list of chances, one per method", self.p)
        return tuple(given)  # type: ignore[arg-type]  # mypy does not follow `numbers`

    @property
    def shares(self) -> tuple[float, ...]:
        return tuple(self.p or ())

    @property
    def partners(self) -> str:
        """The pairing of the methods inside; where it matters, with ``per="pair"``, they all have the same."""
        return self.methods[0].partners

    @property
    def uniforms(self) -> int:
        return 1

    @cached_property
    def token_grid(self) -> tuple[int, int] | None:
        """The grid of the methods inside; if they differ, the coarsest square one that all of them divide."""
        grids = set(self._token_grids)
        side = lcm(*chain(*grids))
        return (side, side) if len(grids) > 1 else grids.pop() if grids else None

    @property
    def _token_grids(self) -> list[tuple[int, int]]:
        return [member.token_grid for member in self.members if member.token_grid is not None]

    @cached_property
    def heatmap_grid(self) -> tuple[int, int] | None:
        """The grid of those methods inside that take heatmaps on one grid only."""
        return self._heatmap_grids[0] if self._heatmap_grids else None

    @property
    def _heatmap_grids(self) -> list[tuple[int, int]]:
        return sorted({member.heatmap_grid for member in self.members if member.heatmap_grid is not None})

    @cached_property
    def reads_heatmaps(self) -> bool:
        return any(member.reads_heatmaps for member in self.members)

    @cached_property
    def needs_heatmaps(self) -> bool:
        return any(member.needs_heatmaps for member in self.members)

    @property
    def members(self) -> tuple[Method, ...]:
        return tuple(self.methods)

    @property
    def cumulative(self) -> tuple[float, ...]:
        """Running sum of `p`; the m-th method is chosen by a uniform number below the m-th sum."""
        return tuple(accumulate(self.shares))
