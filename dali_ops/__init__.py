"""dalimix inside NVIDIA DALI: mixing operators for pipelines, and a loader of image folders."""

from importlib.util import find_spec

if find_spec("nvidia") is None or find_spec("nvidia.dali") is None:
    raise ModuleNotFoundError("dali_ops needs NVIDIA DALI: pip install 'dalimix[cuda13]' (or cuda12)")

from dali_ops.batch_info import BatchInfo
from dali_ops.image_folder_loader import ImageFolderLoader
from dali_ops.loader import Loader
from dali_ops.mix import mix
from dali_ops.model_heatmaps import model_heatmaps
from dali_ops.shortcuts import attentive_cutmix, cutmix, mixup, smmix, token_mix
from dali_ops.stored_heatmaps import stored_heatmaps

__all__ = [
    "BatchInfo",
    "ImageFolderLoader",
    "Loader",
    "attentive_cutmix",
    "cutmix",
    "mix",
    "mixup",
    "model_heatmaps",
    "smmix",
    "stored_heatmaps",
    "token_mix",
]
