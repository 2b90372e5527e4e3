"""Heatmaps of a whole data set, made once and kept in files.

Other rooms also use `format`, `maps` and `token_labels`.
"""

from dalimix.stores.store import HeatmapStore
from dalimix.stores.writer import HeatmapWriter

__all__ = ["HeatmapStore", "HeatmapWriter"]
