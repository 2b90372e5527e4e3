"""dalimix inside NVIDIA DALI: operators for pipelines, and a loader."""
