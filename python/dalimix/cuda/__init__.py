"""Launchers of the CUDA kernels, under the kernels' names. All work is queued on CuPy's current stream.

Other rooms use the functions below, `stream` and `constants`.
"""

from dalimix.cuda import attentive_cutmix, cutmix, mixup, random_choice, smmix, token_mix  # noqa: F401  # they enter themselves
from dalimix.cuda.compose import compose
from dalimix.cuda.erase import erase
from dalimix.cuda.heatmap_crop import heatmap_crop
from dalimix.cuda.registry import PLANNERS
from dalimix.cuda.resample_heatmaps import resample_heatmaps
from dalimix.cuda.soft_labels import pair_labels, soft_labels

READS_VALUES = False  # they are on the device, for which the host does not wait

__all__ = [
    "PLANNERS",
    "READS_VALUES",
    "compose",
    "erase",
    "heatmap_crop",
    "pair_labels",
    "resample_heatmaps",
    "soft_labels",
]
