"""Everything random about a batch, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dalimix.arrays import Array, check_field


@dataclass(frozen=True, eq=False)
class Draws:
    """The random numbers from which a plan follows.

    Attributes:
        partner: int32 [B], a random permutation; ``pairing="random"`` takes the partners from it.
        lam: float32 [B] in [0, 1], the share that the first image keeps; None for methods that draw none.
        uniform: float32 [B, k] in [0, 1). The method's own columns come first, in the order of the formulas;
            the last one decides whether the image is mixed at all.
        members: the draws of each method of a `RandomChoice`; all of them share its permutation.
        key: uint32 [B, 2], for methods that make their own random numbers from a counter; None for the others.
        erase: uint32 [B, 2], likewise, for random erasing; None without it.

    Raises:
        TypeError: a field is plainly not an array, or a member is not a `Draws`.

    Examples:
        >>> draws = dalimix.draw(CutMix(), batch_size=4, rng=0)
        >>> draws.lam.shape, draws.uniform.shape
        ((4,), (4, 3))
        >>> sorted(draws.partner.tolist())
        [0, 1, 2, 3]
    """

    partner: Array
    lam: Array
    uniform: Array
    members: tuple[Draws, ...] = ()
    key: Array | None = None
    erase: Array | None = None

    def __post_init__(self) -> None:
        for name in ("partner", "lam", "uniform", "key", "erase"):
            value = getattr(self, name)
            if value is not None or name in ("partner", "uniform"):
                check_field(f"draws.{name}", value)
        if not isinstance(self.members, (list, tuple)) or not all(isinstance(one, Draws) for one in self.members):
            raise TypeError(f"draws.members must be dalimix.Draws, one for each method, got {self.members!r}")

    def mapped(self, function: Callable[[Array], Array]) -> Draws:
        """Return draws that have ``function(array)`` in the place of every array."""
        if not callable(function):
            raise TypeError(f"function must be one that takes an array, got {function!r}")
        others = self.lam, self.key, self.erase
        lam, key, erase = (None if array is None else function(array) for array in others)
        members = tuple(member.mapped(function) for member in self.members)
        return Draws(function(self.partner), lam, function(self.uniform), members, key, erase)

    def arrays(self) -> list[Array]:
        """Return the arrays, those of the members included."""
        every = self.partner, self.lam, self.uniform, self.key, self.erase
        own = [array for array in every if array is not None]
        return own + [array for member in self.members for array in member.arrays()]
