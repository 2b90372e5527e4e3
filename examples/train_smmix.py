"""Trains a small vision transformer with SMMix: it chooses itself what to mix, and learns from every token.

python examples/train_smmix.py [FOLDER] [--way step|pipeline]  one sub-folder of images per class; without: photographs

"step" is the way of the paper: in every training step the model first looks at the images as they are. "pipeline": a
copy of the model does that in the DALI pipeline, ahead of the training; it is refreshed every few steps.
"""

import argparse
import sys
from pathlib import Path

import torch
from small_vit import SmallViT, accuracy, optimizer_and_schedule

from dali_ops import Eval, ImageFolderLoader, Runtime, Targets, Train
from dali_ops.assets.photos import make_photo_folder
from dali_ops.device import torch_device, usable_device
from dali_ops.imagenet import IMAGENET_MEAN, IMAGENET_STD
from dalimix import Mixup, RandomChoice, SMMix
from dalimix.heatmaps import AttentionHeatmap, SnapshotHeatmap
from dalimix.torch import SMMixBatch, SMMixLoss, SMMixLosses, SMMixStep, TokenClassifier

SIZE, SMOOTHING = 224, 0.1  # pixels: 14 × 14 tokens of 16 pixels, the grid of SMMix()
LAST_ATTENTION = "layers.layers.3.self_attn"  # of SmallViT

# The recipe of the paper: Mixup or SMMix, drawn for every batch, and within a batch one λ or one side for all; image i
# meets image B - 1 - i. With per="sample" every image has a region of its own size.
SHARED = {"per": "batch", "pairing": "flip"}
RECIPE = RandomChoice([Mixup(1.0, **SHARED), SMMix(**SHARED)], p=[0.5, 0.5], per="batch")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="images; without, photographs in demo/photos")
    parser.add_argument("--way", choices=["step", "pipeline"], default="step")
    parser.add_argument("--every", type=int, default=2, help="steps between two refreshes, for --way pipeline")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--lr", type=float, default=0.001)
    parser.add_argument("--device", choices=["cpu", "gpu"], help="default: the GPU if there is one")
    return parser.parse_args()


class InTheStep:
    """One epoch of mixed batches. The loader gives them plain, and the model in training looks at every one."""

    def __init__(self, model, root, every, **options):
        self.loader = ImageFolderLoader(root, transform=Train(SIZE), **options)
        provider = AttentionHeatmap(model, LAST_ATTENTION)  # the images come normalised
        self.mix = SMMixStep(provider, len(self.loader.classes), RECIPE, smoothing=SMOOTHING)

    def __iter__(self):
        for images, labels in self.loader:
            yield self.mix(images, labels)


class InThePipeline:
    """One epoch of mixed batches, as the loader gives them; a copy of the model has looked at each."""

    def __init__(self, model, root, every, **options):
        provider = AttentionHeatmap(model, LAST_ATTENTION, mean=IMAGENET_MEAN, std=IMAGENET_STD)
        self.snapshot = SnapshotHeatmap(provider, every)
        mixing = {"heatmaps": self.snapshot, "targets": Targets(SMOOTHING), "keep_info": True}
        self.loader = ImageFolderLoader(root, RECIPE, transform=Train(SIZE), **mixing, **options)

    def __iter__(self):
        for images, targets in self.loader:
            yield SMMixBatch(images, targets, **vars(self.loader.batch_info))
            self.snapshot.step()  # the optimizer has made its step: the copy follows


WAYS = {"step": InTheStep, "pipeline": InThePipeline}


def train(classifier, batches, epochs, lr):
    """Yields the mean losses of every epoch."""
    optimizer, schedule = optimizer_and_schedule(classifier, lr, epochs * len(batches.loader))
    for _ in range(epochs):
        losses = [step(classifier.train(), optimizer, schedule, batch) for batch in batches]
        yield SMMixLosses(*torch.tensor(losses).mean(0).tolist())


def step(classifier, optimizer, schedule, batch):
    """The losses of one batch."""
    outputs = classifier(batch.images, batch.plan.tokens)
    losses = SMMixLoss(SMOOTHING)(outputs, batch)
    optimizer.zero_grad()
    losses.total.backward()
    optimizer.step()
    schedule.step()
    return [loss.item() for loss in losses]


def main():
    options = arguments()
    device = usable_device(options.device)
    torch.manual_seed(0)
    root = options.folder or make_photo_folder(Path("demo/photos"))
    shared = {"batch_size": options.batch_size, "runtime": Runtime(device), "seed": 0}
    plain = ImageFolderLoader(root, transform=Eval(SIZE), **shared)
    model = SmallViT(len(plain.classes), SIZE).to(torch_device(device))
    batches = WAYS[options.way](model, root, options.every, **shared)

    print(f"{len(plain.classes)} classes, {len(batches.loader)} steps an epoch, on the {device}, {options.way}")
    classifier = TokenClassifier(model, "layers", "head")
    print("tokens and consistency are 0 in batches of Mixup, so they rise and fall with the number of these")
    for epoch, losses in enumerate(train(classifier, batches, options.epochs, options.lr), 1):
        total, classification, tokens, consistency = losses
        parts = f"classification {classification:.3f} + tokens {tokens:.3f} + consistency {consistency:.3f}"
        print(f"epoch {epoch:3}: loss {total:.3f} = {parts}")
    print(f"accuracy {accuracy(model, plain):.1%} on the images trained on, not mixed")


if __name__ == "__main__":
    try:
        main()
    except (ValueError, ImportError, OSError) as error:
        sys.exit(f"{error}")
    except KeyboardInterrupt:
        sys.exit(130)
