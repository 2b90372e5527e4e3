"""Trains a small vision transformer the way DeiT is trained, with TokenMix: heatmaps are made once, then read.

python examples/train_tokenmix.py [FOLDER] [--epochs 20]      one sub-folder of images per class; without: photographs

The heatmaps lie beside the images, in FOLDER-heatmaps; the next run finds them there.
"""

import argparse
import sys
from pathlib import Path

import torch
from small_vit import SmallViT, accuracy, optimizer_and_schedule
from torch.nn.functional import cross_entropy

from dali_ops import Eval, ImageFolderLoader, Runtime, Targets, Train
from dali_ops.assets.photos import make_photo_folder
from dali_ops.assets.teacher import teacher
from dali_ops.device import torch_device, usable_device
from dali_ops.sources import ImageFolder
from dali_ops.stores import build_store
from dalimix import Mixup, RandomChoice, TokenMix
from dalimix.stores import HeatmapStore

SIZE = 224  # pixels: 14 × 14 tokens of 16 pixels, the grid of TokenMix()

# Mixup or TokenMix, drawn for every batch, and within a batch one λ or one mask for all; image i meets image B - 1 - i.
# This is how DeiT's recipe (timm's Mixup) and the code of TokenMix do it.
SHARED = {"per": "batch", "pairing": "flip"}
RECIPE = RandomChoice([Mixup(0.8, **SHARED), TokenMix(**SHARED)], per="batch")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="images; without, photographs in demo/photos")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--lr", type=float, default=0.001)
    parser.add_argument("--device", choices=["cpu", "gpu"], help="default: the GPU if there is one")
    return parser.parse_args()


def heatmaps_of(root, device, batch_size):
    """The store beside `root`. It is made if it is not there yet; if that is stopped, the next run goes on with it."""
    # The demo's teacher knows where something is to be seen. In the paper it is where the image's own class is: with a
    # model of the folder's classes, in their order, `provider` below is
    #     ClassActivationHeatmap(model, "layer4", "fc", mean=…, std=…)
    # and build_store also gets labelled=True. (`dalimix heatmaps build` makes the same from the command line.)
    folder, root = ImageFolder.scan(root), Path(root).resolve()
    path = root.with_name(f"{root.name}-heatmaps")  # not inside: it would be one more class
    if path.exists():
        return HeatmapStore.open(path, folder.names)
    print(f"making the heatmaps of {len(folder.files)} images, this once")
    provider, options = teacher(device), {"device": device, "batch_size": batch_size}
    return build_store(folder, provider, path, grid=7, model="dali_ops.assets.teacher", **options)


def train(model, loader, epochs, lr):
    """Yields the mean loss of every epoch."""
    optimizer, schedule = optimizer_and_schedule(model, lr, epochs * len(loader))
    for _ in range(epochs):
        yield sum(step(model, optimizer, schedule, *batch) for batch in loader) / len(loader)


def step(model, optimizer, schedule, images, targets):
    """Loss of one batch. TokenMix's targets need not add up to 1: cross_entropy weighs with them, which is right."""
    loss = cross_entropy(model.train()(images), targets)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    schedule.step()
    return loss.item()


def main():
    options = arguments()
    device = usable_device(options.device)
    torch.manual_seed(0)
    root = options.folder or make_photo_folder(Path("demo/photos"))
    store = heatmaps_of(root, device, options.batch_size)
    shared = {"batch_size": options.batch_size, "runtime": Runtime(device), "seed": 0}
    mixed = ImageFolderLoader(
        root, RECIPE, transform=Train(SIZE), targets=Targets(smoothing=0.1), heatmaps=store, **shared
    )
    plain = ImageFolderLoader(root, transform=Eval(SIZE), **shared)

    model = SmallViT(len(mixed.classes), SIZE).to(torch_device(device))
    print(f"{len(mixed.classes)} classes, {len(mixed)} steps an epoch, on the {device}; heatmaps in {store.path}")
    for epoch, loss in enumerate(train(model, mixed, options.epochs, options.lr), 1):
        print(f"epoch {epoch:3}: loss {loss:.3f}")
    print(f"accuracy {accuracy(model, plain):.1%} on the images trained on, not mixed")


if __name__ == "__main__":
    try:
        main()
    except (ValueError, ImportError, OSError) as error:
        sys.exit(f"{error}")
    except KeyboardInterrupt:
        sys.exit(130)
