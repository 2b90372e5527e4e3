"""Everything random about a batch, and nothing else."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dalimix import checks
from dalimix.backend import Array, check_field
from dalimix.methods.base import is_whole

if TYPE_CHECKING:
    from dalimix.methods import Method

MAX_BATCH = 1 << 20


@dataclass(frozen=True, eq=False)
class Draws:
    """The random numbers from which a plan follows.

    Attributes:
        partner: int32 [B], a random permutation; from it ``pairing="random"`` takes the partners.
        lam: float32 [B] in [0, 1], the share kept of the first image; None for methods that draw none.
        uniform: float32 [B, k] in [0, 1). The method's own columns come first, in the order of the formulas;
            the last one decides whether the image is mixed at all.
        members: the draws of each method of a `RandomChoice`; they share its permutation.
        key: uint32 [B, 2], for methods that make their own random numbers by a counter; None for the others.

    Raises:
        TypeError: a field is plainly no array, or a member no `Draws`.
    """

    partner: Array
    lam: Array
    uniform: Array
    members: tuple[Draws, ...] = ()
    key: Array | None = None

    def __post_init__(self) -> None:
        for name in ("partner", "lam", "uniform", "key"):
            value = getattr(self, name)
            if value is not None or name in ("partner", "uniform"):
                check_field(f"draws.{name}", value)
        if not isinstance(self.members, (list, tuple)) or not all(isinstance(one, Draws) for one in self.members):
            raise TypeError(f"draws.members must be dalimix.Draws, one for each method, got {self.members!r}")

    def mapped(self, function: Callable[[Array], Array]) -> Draws:
        """With ``function(array)`` for every array."""
        if not callable(function):
            raise TypeError(f"function must be one that takes an array, got {function!r}")
        lam, key = (None if array is None else function(array) for array in (self.lam, self.key))
        members = tuple(member.mapped(function) for member in self.members)
        return Draws(function(self.partner), lam, function(self.uniform), members, key)

    def arrays(self) -> list[Array]:
        """The arrays, those of the members included."""
        own = [array for array in (self.partner, self.lam, self.uniform, self.key) if array is not None]
        return own + [array for member in self.members for array in member.arrays()]


def draw(method: Method, batch_size: int, rng: Any = None) -> Draws:
    """Draw the random numbers of one batch, as NumPy arrays.

    Args:
        method: what is going to be planned.
        batch_size: B, from 1 to 1048576.
        rng: `numpy.random.Generator`, `torch.Generator`, a whole number from 0 as the seed, or None for fresh entropy.
            From a torch generator one 64-bit seed is taken per call.

    Raises:
        TypeError: `method` is no mixing method, or `rng` no generator.
        ValueError: `batch_size` is out of range, or the seed below 0.
    """
    checks.method(method)
    checks.counts(batch_size=batch_size)
    if batch_size > MAX_BATCH:
        raise ValueError(f"batch_size must be at most {MAX_BATCH}, got {batch_size}")
    generator = _numpy_generator(rng)
    return _draw(method, generator.permutation(batch_size).astype(np.int32), generator)


def _draw(method: Method, permutation: Array, generator: np.random.Generator) -> Draws:
    size = len(permutation)
    lam = None
    if method.beta is not None:
        lam = generator.beta(method.beta, method.beta, size).astype(np.float32)
    uniform = generator.random((size, method.uniforms + 1), dtype=np.float32)
    key = generator.integers(0, 1 << 32, (size, 2), np.uint32) if method.keyed else None
    members = tuple(_draw(member, permutation, generator) for member in method.members)
    return Draws(permutation, lam, uniform, members, key)


def _numpy_generator(rng: Any) -> np.random.Generator:
    if rng is None or isinstance(rng, np.random.Generator):
        return np.random.default_rng(rng)
    torch = sys.modules.get("torch")  # who has a generator of it has imported it
    if torch is not None and isinstance(rng, torch.Generator):
        return np.random.default_rng(int(torch.randint(2**63 - 1, (1,), generator=rng, device=rng.device)))
    if not is_whole(rng):
        expected = "a numpy.random.Generator, a torch.Generator, a whole number as the seed, or None"
        raise TypeError(f"rng must be {expected}, got {rng!r}: numpy.random.default_rng(0) makes one")
    if rng < 0:
        raise ValueError(f"rng must be a seed from 0, got {rng}")
    return np.random.default_rng(int(rng))
