"""A small residual network, for the examples beside this file."""

from itertools import pairwise

from torch import nn


class SmallResNet(nn.Sequential):
    """He et al., arXiv 1512.03385: a stem, four stages of one basic block each, and the mean of what they see."""

    def __init__(self, classes, width=32):
        widths = [width, width, 2 * width, 4 * width, 4 * width]
        stages = [Block(before, after) for before, after in pairwise(widths)]
        stem = nn.Sequential(convolution(3, width), nn.BatchNorm2d(width), nn.ReLU())
        super().__init__(stem, *stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], classes))


class Block(nn.Module):
    """Half the sides; what it adds begins at nothing, as in arXiv 1706.02677."""

    def __init__(self, before, after):
        super().__init__()
        self.short = nn.Sequential(nn.AvgPool2d(2, ceil_mode=True), nn.Conv2d(before, after, 1, bias=False))
        self.long = nn.Sequential(
            convolution(before, after), nn.BatchNorm2d(after), nn.ReLU(),
            nn.Conv2d(after, after, 3, padding=1, bias=False), nn.BatchNorm2d(after),
        )  # fmt: skip
        nn.init.zeros_(self.long[-1].weight)

    def forward(self, x):
        return nn.functional.relu(self.short(x) + self.long(x))


def convolution(before, after):
    return nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False)
