"""Batch mixing for PyTorch tensors, in the training step instead of in the pipeline."""

from dalimix.torch.batch_mixer import BatchMixer

__all__ = ["BatchMixer"]
