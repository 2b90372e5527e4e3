"""The NumPy twin of every kernel, under the kernel's name. It gives the kernels' numbers, bit for bit."""

from dalimix.reference.compose import compose
from dalimix.reference.cutmix import cutmix
from dalimix.reference.mixup import mixup
from dalimix.reference.random_choice import random_choice
from dalimix.reference.soft_labels import soft_labels

__all__ = ["compose", "cutmix", "mixup", "random_choice", "soft_labels"]
