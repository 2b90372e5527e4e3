"""The losses of train.py."""

from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, one_hot


class CrossEntropy:
    """Of class indices, or of the soft targets of mixed batches.

    Attributes:
        smoothing_in_loader: label smoothing that soft targets must have already.
    """

    def __init__(self, smoothing):
        self.smoothing = self.smoothing_in_loader = smoothing

    def __call__(self, logits, targets):
        smoothing = 0.0 if targets.is_floating_point() else self.smoothing
        return cross_entropy(logits, targets, label_smoothing=smoothing)


class BinaryCrossEntropy:
    """Every class for itself: is it in the image? (Wightman et al., arXiv 2110.00476; timm's `BinaryCrossEntropy`.)

    A class whose share of the mixed target is above the threshold is there. Labels are smoothed after that, so that
    the threshold does not undo it.
    """

    smoothing_in_loader = 0.0

    def __init__(self, threshold, smoothing):
        self.threshold, self.smoothing = threshold, smoothing

    def __call__(self, logits, targets):
        classes = logits.shape[1]
        if not targets.is_floating_point():
            targets = one_hot(targets, classes)
        there = (targets > self.threshold).float()  # also in mixed precision
        smoothed = (1 - self.smoothing) * there + self.smoothing / classes
        return binary_cross_entropy_with_logits(logits, smoothed)


def make_loss(loss):
    """The loss of a recipe."""
    if loss.loss == "bce":
        return BinaryCrossEntropy(loss.bce_threshold, loss.smoothing)
    return CrossEntropy(loss.smoothing)
