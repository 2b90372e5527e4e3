"""A small vision transformer of torch's own blocks, and how it is trained; for the examples beside this file."""

import torch
from torch import nn

PATCH = 16  # pixels


class SmallViT(nn.Module):
    """Patches, their places, a few layers of attention, and the mean of the tokens."""

    def __init__(self, classes, size=224, width=128, depth=4, heads=4):
        super().__init__()
        self.patches = nn.Conv2d(3, width, PATCH, PATCH)
        self.places = nn.Parameter(0.02 * torch.randn((size // PATCH) ** 2, width))
        layer = nn.TransformerEncoderLayer(
            width, heads, 4 * width, dropout=0, activation="gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, depth, nn.LayerNorm(width), enable_nested_tensor=False)
        self.head = nn.Linear(width, classes)

    def forward(self, images):
        tokens = self.patches(images).flatten(2).mT + self.places
        return self.head(self.layers(tokens).mean(1))


def optimizer_and_schedule(model, lr, steps):
    """AdamW; a tenth of the steps up to the full rate, the others down to nothing."""
    optimizer = torch.optim.AdamW(model.parameters(), lr, weight_decay=0.05)
    warm = max(1, steps // 10)
    rise = torch.optim.lr_scheduler.LinearLR(optimizer, 0.01, total_iters=warm)
    fall = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, steps - warm))
    return optimizer, torch.optim.lr_scheduler.SequentialLR(optimizer, [rise, fall], [warm])


@torch.no_grad()
def accuracy(model, loader):
    model.eval()
    hits = [(model(images).argmax(1) == labels).float() for images, labels in loader]
    return torch.cat(hits).mean().item()
