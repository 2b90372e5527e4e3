"""dalimix inside NVIDIA DALI: mixing operators for pipelines, and a loader of image folders."""

from dali_ops.loader import ImageFolderLoader
from dali_ops.mix import mix
from dali_ops.shortcuts import cutmix, mixup

__all__ = ["ImageFolderLoader", "cutmix", "mix", "mixup"]
