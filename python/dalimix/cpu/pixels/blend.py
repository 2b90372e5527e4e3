"""Blending on the CPU: the images of a whole batch at once."""

from __future__ import annotations

import numpy as np

from dalimix.cpu.pixels.paste import Paste
from dalimix.cpu.pixels.scratch import Scratch
from dalimix.mix_plan import MixPlan


class Blend:
    """``blend(pasted, rows)`` is float32 [B, rows, W, C]: λ xᵢ + (1 − λ) xⱼ, except where something is pasted.

    Where the plan blends nothing, it is `pasted` itself.
    """

    def __init__(self, plan: MixPlan, images: np.ndarray, paste: Paste, scratch: Scratch) -> None:
        """images: [B, H, W, C], a view of any strides, mirrored already."""
        self.plan, self.images, self.paste, self.scratch = plan, images, paste, scratch
        self.samples = np.flatnonzero(plan.blend != 1)
        # If most are blended, blend all, without copies. 1 · xᵢ + 0 · xⱼ is xᵢ for bytes, but not for −0 or infinities.
        most = 2 * len(self.samples) > len(images) and images.dtype == np.uint8
        self.every = most or len(self.samples) == len(images)

    def __call__(self, pasted: np.ndarray, rows: slice) -> np.ndarray:
        if not len(self.samples):
            return pasted
        floats = self.scratch("floats", pasted.shape, np.float32)
        if self.every:
            self._mix(floats, pasted, rows, slice(None))
            return floats
        some = self.scratch("some", (len(self.samples), *pasted.shape[1:]), np.float32)
        self._mix(some, pasted, rows, self.samples)
        floats[:] = pasted
        floats[self.samples] = some
        return floats

    def _mix(self, mixed: np.ndarray, pasted: np.ndarray, rows: slice, chosen: slice | np.ndarray) -> None:
        keep = self.plan.blend[chosen, None, None, None]
        other = self.scratch("other", mixed.shape, np.float32)
        mixed[:] = self.images[chosen, rows]
        mixed *= keep
        other[:] = self.images[self.plan.partner[chosen], rows]
        other *= np.float32(1) - keep
        mixed += other
        self.paste.paste_into(mixed, pasted[chosen], rows, chosen)
