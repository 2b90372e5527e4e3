"""How train_imagenet.py trains: the numbers of known recipes, their optimizers and learning rates."""

import warnings
from dataclasses import dataclass
from math import cos, pi

import torch
from nvidia.dali.auto_aug.rand_augment import rand_augment

from dalimix import CutMix, Method, Mixup, RandomChoice

# Drawn for a batch, one λ or box for all; as in the code of DeiT (timm's Mixup), image i meets image B - 1 - i.
AS_TIMM = {"per": "batch", "pairing": "flip"}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Each number is also an option of the program, which overrides it.

    Attributes:
        model: of timm, or of the examples.
        stand_in: of the examples, where timm is not installed.
        mixing: what `--method recipe` means.
        optimizer: a name in OPTIMIZERS.
        epochs: in all.
        warmup_epochs: in which the learning rate rises from 0; after that it falls by half a cosine.
        batch_size: of one process.
        size: side of the images in pixels.
        lr: the highest learning rate, for `lr_batch` images in all processes together; for others in proportion.
        last_lr: to which it falls, a share of the highest.
        weight_decay: of all weights, but not of biases and norms.
        rand_augment: strength of DALI's RandAugment, two operations for each image, up to 30; 0: none.
        drop_path: stochastic depth of timm's vision transformers.
        smoothing: of the labels.
        ema: decay of the moving average of the weights for each step; 0: none.
        clip_grad: the longest gradient; 0: any.
        threads: of torch on the CPU; 0: as many as it takes by itself.
    """

    model: str
    stand_in: str
    mixing: Method
    optimizer: str
    epochs: int
    warmup_epochs: int
    batch_size: int
    size: int
    lr: float
    lr_batch: int
    last_lr: float
    weight_decay: float
    rand_augment: int
    drop_path: float
    smoothing: float
    ema: float
    clip_grad: float
    threads: int


# Touvron et al., arXiv 2012.12877, table 9, on 8 GPUs; but for random erasing and repeated augmentation, and with
# DALI's RandAugment, where timm's strength of 9 in 10 is 27 in 30.
DEIT = Recipe(
    model="deit_small_patch16_224", stand_in="small_vit",
    mixing=RandomChoice([Mixup(0.8, **AS_TIMM), CutMix(1.0, **AS_TIMM)], p=[0.5, 0.5], per="batch"),
    optimizer="adamw", epochs=300, warmup_epochs=5, batch_size=128, size=224, lr=5e-4, lr_batch=512, last_lr=0.01,
    weight_decay=0.05, rand_augment=27, drop_path=0.1, smoothing=0.1, ema=0.99996, clip_grad=0.0, threads=0,
)  # fmt: skip

# Goyal et al., arXiv 1706.02677: learning rate, its rise, 90 epochs; He et al., arXiv 1812.01187: the cosine, no decay
# of biases and norms; Yun et al., arXiv 1905.04899: CutMix in every batch (there for 300 epochs).
RESNET = Recipe(
    model="resnet50", stand_in="small_resnet",
    mixing=CutMix(1.0, per="batch"),
    optimizer="sgd", epochs=90, warmup_epochs=5, batch_size=256, size=224, lr=0.1, lr_batch=256, last_lr=0.0,
    weight_decay=1e-4, rand_augment=0, drop_path=0.0, smoothing=0.0, ema=0.9999, clip_grad=0.0, threads=0,
)  # fmt: skip

# Of no paper: for some dozens or hundreds of images, such as the demo's, in less than a minute without a GPU. For so
# small a model, several threads of torch would wait for each other, and for DALI's, longer than they work.
SMALL = Recipe(
    model="small_vit", stand_in="small_vit",
    mixing=DEIT.mixing,
    optimizer="adamw", epochs=12, warmup_epochs=2, batch_size=8, size=64, lr=2e-3, lr_batch=8, last_lr=0.01,
    weight_decay=0.05, rand_augment=0, drop_path=0.0, smoothing=0.1, ema=0.95, clip_grad=1.0, threads=1,
)  # fmt: skip

RECIPES = {"deit": DEIT, "resnet": RESNET, "small": SMALL}
OPTIMIZERS = {
    "adamw": torch.optim.AdamW,
    "sgd": lambda groups, lr: torch.optim.SGD(groups, lr, momentum=0.9, nesterov=True),
}


def augmentation(recipe):
    """From the node of cropped images to one of the same size, or None."""

    def augment(images):
        with warnings.catch_warnings(record=True):  # DALI's, of names that it uses itself
            return rand_augment(images, n=2, m=recipe.rand_augment, shape=images.shape()[0:2])

    return augment if recipe.rand_augment else None


def highest_lr(recipe, processes):
    """In proportion to the images of a step."""
    return recipe.lr * recipe.batch_size * processes / recipe.lr_batch


def optimizer_and_schedule(model, recipe, processes, steps):
    """The schedule moves on by one step at every call; `steps` are those of an epoch."""
    without = model.no_weight_decay() if hasattr(model, "no_weight_decay") else set()  # timm: the places of tokens
    decayed, others = [], []
    for name, parameter in model.named_parameters():
        (others if parameter.ndim < 2 or name in without else decayed).append(parameter)
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimizer = OPTIMIZERS[recipe.optimizer](groups, highest_lr(recipe, processes))
    rise, total = recipe.warmup_epochs * steps, recipe.epochs * steps

    def share(step):
        if step < rise:
            return (step + 1) / rise
        return recipe.last_lr + (1 - recipe.last_lr) * (1 + cos(pi * (step - rise) / max(1, total - rise))) / 2

    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, share)
