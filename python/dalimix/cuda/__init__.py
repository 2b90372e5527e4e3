"""Launchers of the CUDA kernels, under the kernels' names. All work is queued on CuPy's current stream."""

from dalimix.cuda.attentive_cutmix import attentive_cutmix
from dalimix.cuda.compose import compose
from dalimix.cuda.cutmix import cutmix
from dalimix.cuda.heatmap_crop import heatmap_crop
from dalimix.cuda.mixup import mixup
from dalimix.cuda.random_choice import random_choice
from dalimix.cuda.resample_heatmaps import resample_heatmaps
from dalimix.cuda.smmix import smmix
from dalimix.cuda.soft_labels import pair_labels, soft_labels
from dalimix.cuda.token_mix import token_mix

READS_VALUES = False  # they are on the device, which the host does not wait for

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
