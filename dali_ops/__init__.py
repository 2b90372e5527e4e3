"""dalimix inside NVIDIA DALI: mixing operators for pipelines, and a loader of image folders."""

from dalimix.support.packages import is_there, missing

__all__ = [
    "BatchInfo",
    "Eval",
    "ImageFolderLoader",
    "Loader",
    "Runtime",
    "Targets",
    "Train",
    "attentive_cutmix",
    "cutmix",
    "mix",
    "mixup",
    "model_heatmaps",
    "smmix",
    "stored_heatmaps",
    "token_mix",
]

if is_there("nvidia.dali"):
    from dali_ops.loader.image_folder import ImageFolderLoader
    from dali_ops.loader.loader import Loader
    from dali_ops.loader.outputs import BatchInfo
    from dali_ops.loader.runtime import Runtime
    from dali_ops.loader.transforms import Eval, Train
    from dali_ops.operators.mix import mix
    from dali_ops.operators.model_heatmaps import model_heatmaps
    from dali_ops.operators.shortcuts import attentive_cutmix, cutmix, mixup, smmix, token_mix
    from dali_ops.operators.stored_heatmaps import stored_heatmaps
    from dali_ops.operators.targets import Targets
else:

    def __getattr__(name: str) -> object:
        """Without DALI the command line still tells its version and its options."""
        if name in __all__:
            raise missing(f"dali_ops.{name}", "nvidia.dali")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
