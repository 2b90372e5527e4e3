"""The NumPy twin of every kernel, under the kernel's name. It gives the kernels' numbers, bit for bit.

But for two things that images never show: CuPy has GPUs flush float32 subnormals to zero, and a NaN may be another NaN.
"""

from dalimix.cpu import attentive_cutmix, cutmix, mixup, random_choice, smmix, token_mix  # noqa: F401  # they enter themselves
from dalimix.cpu.compose import compose
from dalimix.cpu.heatmap_crop import heatmap_crop
from dalimix.cpu.registry import PLANNERS
from dalimix.cpu.resample_heatmaps import resample_heatmaps
from dalimix.cpu.soft_labels import pair_labels, soft_labels

READS_VALUES = True  # so that they are checked: they are at hand

__all__ = [
    "PLANNERS",
    "READS_VALUES",
    "compose",
    "heatmap_crop",
    "pair_labels",
    "resample_heatmaps",
    "soft_labels",
]
