"""What a planner knows about the images."""

from __future__ import annotations

from dataclasses import dataclass

from dalimix.arrays import Array


@dataclass(frozen=True, eq=False)
class Scene:
    """The images of a batch, as far as planners need to know them.

    Attributes:
        size: (H, W) in pixels.
        heatmaps: float32 [B, h, w], contiguous, of the images as they are handed in; None for methods that read none.
        mirror: integer or bool [B]; images with 1 are flipped from left to right, and so are their heatmaps.
    """

    size: tuple[int, int]
    heatmaps: Array | None = None
    mirror: Array | None = None
