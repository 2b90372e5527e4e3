"""Batch mixing for PyTorch tensors, in the training step instead of in the pipeline, and the training of SMMix."""

from dalimix.torch.accuracy import soft_target_accuracy
from dalimix.torch.batch_mixer import BatchMixer
from dalimix.torch.smmix_loss import SMMixBatch, SMMixLoss, SMMixLosses
from dalimix.torch.smmix_step import SMMixStep
from dalimix.torch.token_classifier import TokenClassifier

__all__ = [
    "BatchMixer",
    "SMMixBatch",
    "SMMixLoss",
    "SMMixLosses",
    "SMMixStep",
    "TokenClassifier",
    "soft_target_accuracy",
]
