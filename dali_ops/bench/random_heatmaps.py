"""A store of random heatmaps, to measure with: what heatmaps show makes no difference to the time."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dali_ops.sources import Source
from dalimix.stores import HeatmapStore, HeatmapWriter
from dalimix.stores.format import MAPS_AT_ONCE


def random_store(place: Path, source: Source, grid: int = 14) -> HeatmapStore:
    """Make a store of uint8 [N, grid, grid] for the N different names of a source.

    Args:
        place: the store to make.
        source: whose images the heatmaps are for.
        grid: cells along each side.
    """
    rng, files = np.random.default_rng(0), sorted(set(source.names))
    with HeatmapWriter(place, files, grid, model="random numbers") as writer:
        while writer.done < len(writer):
            count = min(MAPS_AT_ONCE, len(writer) - writer.done)
            writer.append(rng.random((count, grid, grid), np.float32))
        return writer.finish()
