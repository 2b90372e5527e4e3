"""Launchers of the CUDA kernels, under the kernels' names. All work is queued on CuPy's current stream."""

from dalimix.cuda.compose import compose
from dalimix.cuda.cutmix import cutmix
from dalimix.cuda.mixup import mixup
from dalimix.cuda.random_choice import random_choice
from dalimix.cuda.soft_labels import pair_labels, soft_labels

__all__ = ["compose", "cutmix", "mixup", "pair_labels", "random_choice", "soft_labels"]
