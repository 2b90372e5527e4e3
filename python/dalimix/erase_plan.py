"""The plan of random erasing: which boxes of which images, and what is put there."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import ModuleType

from dalimix import checks
from dalimix.arrays import Array, check_field
from dalimix.erase import LARGEST
from dalimix.support.numbers import is_number


@dataclass(frozen=True, eq=False)
class ErasePlan:
    """What is erased of every image of a batch, before it is mixed. The same plan always gives the same pixels.

    Attributes:
        box: int32 [B, n, 4], rectangles (y0, x0, y1, x1) in pixels, half-open, inside the image as it looks after
            mirroring. Those of no rows or columns erase nothing.
        key: uint32 [B, 2], from which the noise of each image follows, by Philox4x32-10.
        value: what erased pixels are after normalising; None: noise.
        size: (H, W) in pixels of the images that the plan was made for; None if that is not known.

    Raises:
        TypeError: a field is plainly not an array, or `value` not a number.
        ValueError: `value` is not finite in float32, or `size` is not a size of images.

    Examples:
        >>> erase = Erase(prob=1.0, count=2)
        >>> erased = dalimix.plan_erase(erase, dalimix.draw(CutMix(), 4, rng=0, erase=erase), size=32)
        >>> erased.box.shape, erased.value
        ((4, 2, 4), None)
    """

    box: Array
    key: Array
    value: float | None = None
    size: tuple[int, int] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        for name in ("box", "key"):
            check_field(f"erase.{name}", getattr(self, name))
        if self.value is not None and not is_number(self.value):
            raise TypeError(f"erase.value must be a number, or None for noise, got {self.value!r}")
        if self.value is not None and not abs(self.value) <= LARGEST:
            raise ValueError(f"erase.value must be finite in float32, or None for noise, got {self.value!r}")
        if self.size is not None:
            object.__setattr__(self, "size", checks.size(self.size, "erase.size"))

    @classmethod
    def empty(cls, xp: ModuleType, size: int, count: int, key: Array, value: float | None) -> ErasePlan:
        """Make an uninitialised array of `count` boxes for each of `size` images."""
        return cls(xp.empty((size, count, 4), "int32"), key, value)

    def arrays(self) -> tuple[Array, Array]:
        """Return boxes and keys."""
        return self.box, self.key
