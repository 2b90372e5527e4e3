"""Everything random about a batch, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dalimix import checks
from dalimix.backend import Array

if TYPE_CHECKING:
    from dalimix.methods import Method


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
    """

    partner: Array
    lam: Array
    uniform: Array
    members: tuple[Draws, ...] = ()
    key: Array | None = None

    def mapped(self, function: Callable[[Array], Array]) -> Draws:
        """With ``function(array)`` for every array."""
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
        batch_size: B, from 1.
        rng: `numpy.random.Generator`, `torch.Generator`, an integer seed, or None for fresh entropy. From a
            torch generator one 64-bit seed is taken per call.

    Raises:
        TypeError: `method` is no mixing method.
        ValueError: `batch_size` is below 1.
    """
    checks.method(method)
    if not isinstance(batch_size, int) or batch_size < 1:
        raise ValueError(f"batch_size must be a whole number from 1, got {batch_size!r}")
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
    if type(rng).__module__.partition(".")[0] != "torch":
        return np.random.default_rng(rng)
    import torch

    seed = torch.randint(2**63 - 1, (1,), generator=rng, device=rng.device)
    return np.random.default_rng(int(seed))
