"""The recipes of train.py: their numbers, optimizers and learning rates."""

import warnings
from dataclasses import dataclass

import torch
from nvidia.dali.auto_aug.rand_augment import rand_augment
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR

from dalimix import CutMix, Method, Mixup, RandomChoice

# One λ or box per batch, and image i meets image B - 1 - i, as in the code of DeiT (timm's Mixup).
AS_TIMM = {"per": "batch", "pairing": "flip"}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Each number is also an option of the program, which overrides it.

    Attributes:
        model: one of timm, or of the examples.
        stand_in: the example's model that takes its place where timm is not installed.
        mixing: what ``--method recipe`` means.
        optimizer: a name in OPTIMIZERS.
        epochs: how many, those of the warm-up included.
        warmup_epochs: while the learning rate rises linearly; then it falls along a cosine.
        batch_size: images per batch and process.
        size: side of the images in pixels.
        lr: the highest learning rate for `lr_batch` images per step, over all processes; scaled linearly for others.
        last_lr: where the cosine ends, as a fraction of the highest learning rate.
        weight_decay: for all weights except biases and norms.
        rand_augment: magnitude of DALI's RandAugment (two operations per image), 30 at most; 0: none.
        drop_path: stochastic depth of timm's vision transformers.
        smoothing: label smoothing.
        ema: decay per step of the moving average of the weights; 0: none.
        clip_grad: the largest norm of the gradient; 0: any.
        threads: of torch on the CPU; 0: torch's own choice.
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
    last_lr: float = 0.0
    weight_decay: float
    rand_augment: int = 0
    drop_path: float = 0.0
    smoothing: float = 0.0
    ema: float
    clip_grad: float = 0.0
    threads: int = 0


# Touvron et al., arXiv 2012.12877, table 9, on 8 GPUs; but for random erasing and repeated augmentation, and with
# DALI's RandAugment, where timm's magnitude of 9 in 10 is 27 in 30.
DEIT = Recipe(
    model="deit_small_patch16_224", stand_in="small_vit",
    mixing=RandomChoice([Mixup(0.8, **AS_TIMM), CutMix(1.0, **AS_TIMM)], p=[0.5, 0.5], per="batch"),
    optimizer="adamw", epochs=300, warmup_epochs=5, batch_size=128, size=224, lr=5e-4, lr_batch=512, last_lr=0.01,
    weight_decay=0.05, rand_augment=27, drop_path=0.1, smoothing=0.1, ema=0.99996,
)  # fmt: skip

# Goyal et al., arXiv 1706.02677: learning rate, warm-up, 90 epochs; He et al., arXiv 1812.01187: the cosine, no decay
# of biases and norms; Yun et al., arXiv 1905.04899: CutMix in every batch (there for 300 epochs).
RESNET = Recipe(
    model="resnet50", stand_in="small_resnet", mixing=CutMix(1.0, per="batch"), optimizer="sgd", epochs=90,
    warmup_epochs=5, batch_size=256, size=224, lr=0.1, lr_batch=256, weight_decay=1e-4, ema=0.9999,
)  # fmt: skip

# From no paper: for dozens or hundreds of images, such as the demo's, in less than a minute without a GPU. One thread,
# because for so small a model several would wait for each other, and for DALI's, longer than they work.
SMALL = Recipe(
    model="small_vit", stand_in="small_vit", mixing=DEIT.mixing, optimizer="adamw", epochs=12, warmup_epochs=2,
    batch_size=8, size=64, lr=2e-3, lr_batch=8, last_lr=0.01, weight_decay=0.05, smoothing=0.1, ema=0.95,
    clip_grad=1.0, threads=1,
)  # fmt: skip

RECIPES = {"deit": DEIT, "resnet": RESNET, "small": SMALL}
OPTIMIZERS = {
    "adamw": torch.optim.AdamW,
    "sgd": lambda groups, lr: torch.optim.SGD(groups, lr, momentum=0.9, nesterov=True),
}


def augmentation(recipe):
    """A function of DALI's node of cropped images, for the loader's `augment`, or None."""

    def augment(images):
        with warnings.catch_warnings(record=True):  # DALI warns of names that it uses itself
            return rand_augment(images, n=2, m=recipe.rand_augment, shape=images.shape()[0:2])

    return augment if recipe.rand_augment else None


def optimizer_and_schedule(model, recipe, world_size, steps):
    """The schedule makes a step for every batch; `steps` are those of an epoch."""
    undecayed = model.no_weight_decay() if hasattr(model, "no_weight_decay") else set()  # timm: positional embeddings
    decayed, others = [], []
    for name, parameter in model.named_parameters():
        (others if parameter.ndim < 2 or name in undecayed else decayed).append(parameter)
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
    lr = recipe.lr * recipe.batch_size * world_size / recipe.lr_batch
    optimizer = OPTIMIZERS[recipe.optimizer](groups, lr)
    rise, total = recipe.warmup_epochs * steps, recipe.epochs * steps
    fall = CosineAnnealingLR(optimizer, max(1, total - rise), eta_min=recipe.last_lr * lr)
    if not rise:
        return optimizer, fall
    warmup = LinearLR(optimizer, 1 / rise, total_iters=rise - 1)
    return optimizer, SequentialLR(optimizer, [warmup, fall], [rise])
