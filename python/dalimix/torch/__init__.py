"""Batch mixing for PyTorch tensors, in the training step instead of in the pipeline."""

from dalimix.torch.batch_mixer import BatchMixer
from dalimix.torch.token_classifier import TokenClassifier

__all__ = ["BatchMixer", "TokenClassifier"]
