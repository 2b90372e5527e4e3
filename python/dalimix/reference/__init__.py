"""The NumPy twin of every kernel, under the kernel's name. It gives the kernels' numbers, bit for bit.

But for two things that images never show: CuPy has GPUs flush float32 subnormals to zero, and a NaN may be another NaN.
"""

from dalimix.reference.attentive_cutmix import attentive_cutmix
from dalimix.reference.compose import compose
from dalimix.reference.cutmix import cutmix
from dalimix.reference.heatmap_crop import heatmap_crop
from dalimix.reference.mixup import mixup
from dalimix.reference.random_choice import random_choice
from dalimix.reference.resample_heatmaps import resample_heatmaps
from dalimix.reference.smmix import smmix
from dalimix.reference.soft_labels import pair_labels, soft_labels
from dalimix.reference.token_mix import token_mix

READS_VALUES = True  # so that they are checked: they are at hand

__all__ = [
    "READS_VALUES",
    "attentive_cutmix",
    "compose",
    "cutmix",
    "heatmap_crop",
    "mixup",
    "pair_labels",
    "random_choice",
    "resample_heatmaps",
    "smmix",
    "soft_labels",
    "token_mix",
]
