"""The images of train.py, and what happens to them."""

from pathlib import Path

from dali_ops import Eval, Train
from dali_ops.assets.photos import make_photo_folder
from dali_ops.samplers import Repeated
from dali_ops.sources import ImageFolder
from dalimix import Erase


def scan(root):
    """The images to train on and those to measure the accuracy on."""
    root = root or make_photo_folder(Path("demo/photos"))
    if not (root / "val").is_dir():
        if (root / "train").is_dir():
            raise ValueError(f"{root} has a folder train, but no val")
        both = ImageFolder.scan(root)
        return both, both
    train, val = ImageFolder.scan(root / "train"), ImageFolder.scan(root / "val")
    if train.classes != val.classes:
        other = sorted(set(train.classes) ^ set(val.classes))
        raise ValueError(f"{root}/train and {root}/val must have the same classes, but only one has {other[0]}")
    return train, val


def for_training(images, layout="CHW"):
    """What a loader does to the images to train on."""
    erase = Erase(images.erase, area=images.erase_area, ratio=images.erase_ratio, count=images.erase_count)
    return Train(
        images.size, scale=images.scale, ratio=images.ratio, interpolation=images.interpolation, flip=images.flip,
        augment=None if images.augment == "none" else images.augment, erase=erase if images.erase else None,
        layout=layout,
    )  # fmt: skip


def for_testing(images, layout="CHW"):
    """And to those to measure the accuracy on."""
    return Eval(images.test_size, crop=images.crop, interpolation=images.interpolation, layout=layout)


def sampler(images):
    """Which images come when; None: each once in an epoch."""
    return Repeated(images.repeats) if images.repeats > 1 else None
