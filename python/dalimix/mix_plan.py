"""The plan of a batch: which images are mixed, where, and with which weights in the labels."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import ModuleType

import numpy as np

from dalimix import checks
from dalimix.arrays import Array, check_field


def edges(pixels: int, grid: int) -> np.ndarray:
    """Return int [grid + 1]: the first pixel of every cell of a grid along an axis, and the end of the last cell."""
    return np.arange(grid + 1) * pixels // grid


def cells(pixels: int, grid: int) -> np.ndarray:
    """Int [pixels]: the cell of every pixel, where cells begin at `edges`."""
    return ((np.arange(pixels) + 1) * grid - 1) // pixels


@dataclass(frozen=True, eq=False)
class MixPlan:
    """Where and how every image of a batch is mixed. The same plan always gives the same batch.

    Image i receives, image ``partner[i]`` gives. Everything is in the frame of the output, after mirroring.

    Attributes:
        partner: int32 [B], the image that gives. An image that is its own partner stays as it is.
        weight: float32 [B, 2], label shares of image i and of its partner.
        blend: float32 [B], pixel factor of image i where nothing is pasted; 1 for methods that paste.
        box: int32 [B, 4], pasted rectangle (y0, x0, y1, x1) in pixels, half-open, inside the image.
        shift: int32 [B, 2], (dy, dx) in pixels from where the partner is written to where it is read. Used only
            where blend is 1; what is read lies inside the image.
        tokens: uint8 [B, gh, gw] or None; 1 where the partner shows. Row r of the grid covers pixels
            floor(r H / gh) to floor((r + 1) H / gh).
        size: (H, W) in pixels of the images that the plan was made for; None if that is not known.

    Raises:
        TypeError: a field is plainly not an array.
        ValueError: `size` is not a size of images.

    Examples:
        >>> method = TokenMix(grid=8, min_tokens=4)
        >>> plan = dalimix.plan(method, dalimix.draw(method, batch_size=4, rng=0), size=32)
        >>> plan.tokens.shape, plan.source_mask.dtype, plan.size
        ((4, 8, 8), dtype('bool'), (32, 32))
        >>> again = MixPlan(*plan.arrays(), size=plan.size)  # as from the outputs of a pipeline
    """

    partner: Array
    weight: Array
    blend: Array
    box: Array
    shift: Array
    tokens: Array | None = None
    size: tuple[int, int] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        for name in ("partner", "weight", "blend", "box", "shift", "tokens"):
            value = getattr(self, name)
            if type(value) is np.ndarray or (value is None and name == "tokens"):
                continue  # plans are made for every batch
            check_field(f"plan.{name}", value)
        if self.size is not None:
            object.__setattr__(self, "size", checks.size(self.size, "plan.size"))

    @property
    def source_mask(self) -> Array:
        """Bool [B, gh, gw]: the tokens that show the partner.

        Raises:
            ValueError: the plan has no tokens.
        """
        return self._tokens() != 0

    @property
    def target_mask(self) -> Array:
        """Bool [B, gh, gw]: the tokens that show image i; all others show the partner.

        Raises:
            ValueError: the plan has no tokens.
        """
        return self._tokens() == 0

    def _tokens(self) -> Array:
        if self.tokens is None:
            raise ValueError("this plan has no tokens: they come with methods that have a grid, such as SMMix")
        return self.tokens

    @classmethod
    def empty(cls, xp: ModuleType, *shape: int, grid: tuple[int, int] | None = None) -> MixPlan:
        """Make uninitialised arrays for a batch of `shape` (one number: the batch size); tokens only with a `grid`."""
        return cls(
            partner=xp.empty(shape, "int32"),
            weight=xp.empty((*shape, 2), "float32"),
            blend=xp.empty(shape, "float32"),
            box=xp.empty((*shape, 4), "int32"),
            shift=xp.empty((*shape, 2), "int32"),
            tokens=None if grid is None else xp.empty((*shape, *grid), "uint8"),
        )

    def arrays(self) -> tuple[Array, ...]:
        """Return the arrays in the order of the fields; tokens only if there are any."""
        every = (self.partner, self.weight, self.blend, self.box, self.shift)
        return every if self.tokens is None else (*every, self.tokens)
