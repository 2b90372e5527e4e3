"""Heatmaps: which parts of an image matter, float32 [B, gh, gw], made by any PyTorch model or kept in a store."""

from dalimix.heatmaps.attention import AttentionHeatmap
from dalimix.heatmaps.base import HeatmapProvider, ModelHeatmap
from dalimix.heatmaps.class_activation import ClassActivationHeatmap
from dalimix.heatmaps.feature import FeatureHeatmap
from dalimix.heatmaps.snapshot import SnapshotHeatmap
from dalimix.heatmaps.store import HeatmapStore
from dalimix.heatmaps.store_writer import HeatmapWriter

__all__ = [
    "AttentionHeatmap",
    "ClassActivationHeatmap",
    "FeatureHeatmap",
    "HeatmapProvider",
    "HeatmapStore",
    "HeatmapWriter",
    "ModelHeatmap",
    "SnapshotHeatmap",
]
