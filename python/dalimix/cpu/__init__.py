"""Every kernel's loops for the CPU, under the kernel's name. They give the kernels' numbers, bit for bit.

There are two exceptions, which images never show: CuPy has GPUs flush float32 subnormals to zero, and one NaN may be
another NaN.

Other rooms use the functions below and `random_choice`.
"""

from dalimix.cpu import attentive_cutmix, cutmix, mixup, random_choice, smmix, token_mix  # noqa: F401  # they enter themselves
from dalimix.cpu.compose import compose
from dalimix.cpu.heatmap_crop import heatmap_crop
from dalimix.cpu.registry import PLANNERS
from dalimix.cpu.resample_heatmaps import resample_heatmaps
from dalimix.cpu.soft_labels import pair_labels, soft_labels

READS_VALUES = True  # they are in the host's memory, so they are checked

__all__ = [
    "PLANNERS",
    "READS_VALUES",
    "compose",
    "heatmap_crop",
    "pair_labels",
    "resample_heatmaps",
    "soft_labels",
]
