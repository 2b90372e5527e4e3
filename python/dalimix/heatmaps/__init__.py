"""Heatmaps, float32 [B, gh, gw], of which parts of an image matter, made by any PyTorch model.

Other rooms also use what works on any model's tensors: `arguments`, `dtypes`, `graphs`, `hooks`, `tensors` and
`tokens`.
"""

from dalimix.heatmaps.attention import AttentionHeatmap
from dalimix.heatmaps.base import HeatmapProvider, ModelHeatmap
from dalimix.heatmaps.class_activation import ClassActivationHeatmap
from dalimix.heatmaps.feature import FeatureHeatmap
from dalimix.heatmaps.snapshot import SnapshotHeatmap

__all__ = [
    "AttentionHeatmap",
    "ClassActivationHeatmap",
    "FeatureHeatmap",
    "HeatmapProvider",
    "ModelHeatmap",
    "SnapshotHeatmap",
]
