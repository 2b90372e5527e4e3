"""Batch mixing for image classification: CutMix, Mixup and their relatives on NumPy or CuPy arrays.

``draw`` makes the random numbers, ``plan`` decides where to mix, ``compose`` makes the pixels and ``soft_labels`` the
targets. The type of the arrays chooses between the loops for the CPU and the CUDA kernels; both give the same numbers.
"""

from dalimix.draws import Draws
from dalimix.erase import Erase
from dalimix.erase_plan import ErasePlan
from dalimix.functional import compose, draw, plan, plan_erase, soft_labels
from dalimix.methods import METHODS, AttentiveCutMix, CutMix, Method, Mixup, RandomChoice, SMMix, TokenMix
from dalimix.mix_plan import MixPlan

__version__ = "0.1.0"
__all__ = [
    "METHODS",
    "AttentiveCutMix",
    "CutMix",
    "Draws",
    "Erase",
    "ErasePlan",
    "Method",
    "MixPlan",
    "Mixup",
    "RandomChoice",
    "SMMix",
    "TokenMix",
    "compose",
    "draw",
    "plan",
    "plan_erase",
    "soft_labels",
]
