"""Every kernel's loops for the CPU, under the kernel's name. They give the kernels' numbers, bit for bit.

There are two exceptions, which images never show: CuPy has GPUs flush float32 subnormals to zero, and one NaN may be
another NaN.

Other rooms use the functions below and `random_choice`.
"""

from dalimix.support.packages import need

need("mixing on the CPU", "numba")

# The planners enter themselves.
from dalimix.cpu import attentive_cutmix, cutmix, mixup, random_choice, smmix, token_mix  # noqa: E402, F401
from dalimix.cpu.compose import compose  # noqa: E402
from dalimix.cpu.erase import erase  # noqa: E402
from dalimix.cpu.heatmap_crop import heatmap_crop  # noqa: E402
from dalimix.cpu.registry import PLANNERS  # noqa: E402
from dalimix.cpu.resample_heatmaps import resample_heatmaps  # noqa: E402
from dalimix.cpu.soft_labels import pair_labels, soft_labels  # noqa: E402

READS_VALUES = True  # they are in the host's memory, so they are checked

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
