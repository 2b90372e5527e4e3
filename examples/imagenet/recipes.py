"""The recipes of train.py. Every number is also an option of the program; docs/recipes.md names their sources."""

from dataclasses import dataclass, replace
from typing import Literal

Pair = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Network:
    """What is trained.

    Attributes:
        model: one of timm, or of the examples.
        stand_in: the example's model that takes its place where timm is not installed.
        drop_path: stochastic depth at the last block, growing from 0 at the first.
        dropout: share of the features that the classifier misses; timm's `drop_rate`.
        layer_scale: what LayerScale begins with; 0: as timm has it for this model.
        head_init_scale: factor of the first weights of the classifier, for timm's ConvNeXt.
    """

    model: str
    stand_in: str
    drop_path: float = 0.0
    dropout: float = 0.0
    layer_scale: float = 0.0
    head_init_scale: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Images:
    """What happens to the images. The words are those of `dali_ops.Train`, `dali_ops.Eval` and `dalimix.Erase`.

    Attributes:
        size: side of the images in training, in pixels.
        test_size: side of those on which the accuracy is measured; where only --size is given, the same.
        crop: share of a resized image that is kept to measure the accuracy.
        erase: probability of random erasing.
        repeats: how often each image comes, one after the other; more than 1 is repeated augmentation.
    """

    size: int = 224
    test_size: int = 224
    crop: float = 0.875
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"] = "bicubic"
    scale: Pair = (0.08, 1.0)
    ratio: Pair = (3 / 4, 4 / 3)
    flip: float = 0.5
    augment: str = "none"
    erase: float = 0.0
    erase_area: Pair = (0.02, 1 / 3)
    erase_ratio: Pair = (0.3, 1 / 0.3)
    erase_count: int = 1
    repeats: int = 1


@dataclass(frozen=True, kw_only=True)
class Mixing:
    """How ``--method recipe`` mixes; as in timm, one λ or box per batch, and image i meets image B - 1 - i.

    Attributes:
        mixup: α of Mixup; 0: none.
        cutmix: α of CutMix; 0: none.
        mix_prob: probability that a batch is mixed at all.
        switch_prob: share of CutMix where there are both.
    """

    mixup: float = 0.0
    cutmix: float = 0.0
    mix_prob: float = 1.0
    switch_prob: float = 0.5
    mix_per: Literal["batch", "pair", "sample"] = "batch"
    mix_pairing: Literal["flip", "random"] = "flip"


@dataclass(frozen=True, kw_only=True)
class Loss:
    """What is minimised.

    Attributes:
        loss: ``"bce"``: binary cross-entropy for every class, whose targets are 0 or 1.
        bce_threshold: share of a class in a mixed target above which that is 1.
        smoothing: label smoothing.
    """

    loss: Literal["cross_entropy", "bce"] = "cross_entropy"
    bce_threshold: float = 0.0
    smoothing: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Optimization:
    """How the weights move.

    Attributes:
        lr: the highest learning rate, for `lr_batch` images per step.
        lr_scaling: how it follows another `batch_size`.
        momentum: of SGD, which is Nesterov's.
        betas, eps: of AdamW and LAMB.
        weight_decay: for all weights except biases, norms, and what a model of timm names.
        layer_decay: factor of the learning rate from each layer to the one below; needs timm.
        clip_grad: the largest norm of the gradient; 0: any.
        ema: decay per step of the moving average of the weights, which is measured, too; 0: none.
    """

    optimizer: Literal["adamw", "lamb", "sgd"]
    lr: float
    lr_scaling: Literal["none", "linear", "sqrt"] = "none"
    lr_batch: int
    momentum: float = 0.9
    betas: Pair = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float
    layer_decay: float = 1.0
    clip_grad: float = 0.0
    ema: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How the learning rate rises on a line and then falls along a cosine.

    Attributes:
        epochs: how many, those of the warm-up included.
        warmup_epochs: while it rises.
        warmup_lr: where it begins.
        min_lr: where it ends.
        lr_per: how often it changes.
        cosine_from: what the cosine counts from; from the start, it has gone a bit when the warm-up ends.
    """

    epochs: int
    warmup_epochs: int = 5
    warmup_lr: float
    min_lr: float
    lr_per: Literal["epoch", "step"] = "epoch"
    cosine_from: Literal["start", "warmup"] = "start"


@dataclass(frozen=True, kw_only=True)
class Batches:
    """How many images at once.

    Attributes:
        batch_size: images per step, over all processes.
        threads: of torch on the CPU; 0: torch's own choice.
    """

    batch_size: int
    threads: int = 0


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All numbers of a training."""

    network: Network
    images: Images
    mixing: Mixing
    loss: Loss
    optimization: Optimization
    schedule: Schedule
    batches: Batches


DEIT = Recipe(
    network=Network(model="deit_small_patch16_224", stand_in="small_vit", drop_path=0.1),
    images=Images(augment="rand-m9-n2-mstd0.5-inc1", erase=0.25, repeats=3),
    mixing=Mixing(mixup=0.8, cutmix=1.0),
    loss=Loss(smoothing=0.1),
    optimization=Optimization(
        optimizer="adamw", lr=5e-4, lr_scaling="linear", lr_batch=512, weight_decay=0.05, ema=0.99996
    ),
    schedule=Schedule(epochs=300, warmup_lr=1e-6, min_lr=1e-5),
    batches=Batches(batch_size=1024),
)

DEIT3 = Recipe(
    network=Network(model="deit3_small_patch16_224", stand_in="small_vit", drop_path=0.05, layer_scale=1e-4),
    images=Images(crop=1.0, augment="three", repeats=3),
    mixing=Mixing(mixup=0.8, cutmix=1.0),
    loss=Loss(loss="bce"),
    optimization=Optimization(
        optimizer="lamb", lr=4e-3, lr_batch=2048, eps=1e-8, weight_decay=0.05, clip_grad=1.0, ema=0.99996
    ),
    schedule=Schedule(epochs=800, warmup_lr=1e-6, min_lr=1e-5),
    batches=Batches(batch_size=2048),
)

A1 = Recipe(
    network=Network(model="resnet50", stand_in="small_resnet", drop_path=0.05),
    images=Images(crop=0.95, augment="rand-m7-n2-mstd0.5-inc1", repeats=3),
    mixing=Mixing(mixup=0.2, cutmix=1.0),
    loss=Loss(loss="bce", bce_threshold=0.2, smoothing=0.1),
    optimization=Optimization(optimizer="lamb", lr=5e-3, lr_batch=2048, eps=1e-6, weight_decay=0.01, clip_grad=1.0),
    schedule=Schedule(epochs=600, warmup_lr=1e-4, min_lr=1e-6),
    batches=Batches(batch_size=2048),
)

A2 = replace(
    A1,
    mixing=Mixing(mixup=0.1, cutmix=1.0),
    loss=replace(A1.loss, smoothing=0.0),
    optimization=replace(A1.optimization, weight_decay=0.02),
    schedule=replace(A1.schedule, epochs=300),
)

A3 = replace(
    A2,
    network=replace(A2.network, drop_path=0.0),
    images=Images(size=160, crop=0.95, augment="rand-m6-n2-mstd0.5-inc1"),
    optimization=replace(A2.optimization, lr=8e-3),
    schedule=replace(A2.schedule, epochs=100),
)

CONVNEXT = Recipe(
    network=Network(model="convnext_tiny", stand_in="small_resnet", drop_path=0.1, layer_scale=1e-6),
    images=Images(augment="rand-m9-n2-mstd0.5-inc1", erase=0.25),
    mixing=Mixing(mixup=0.8, cutmix=1.0),
    loss=Loss(smoothing=0.1),
    optimization=Optimization(optimizer="adamw", lr=4e-3, lr_batch=4096, weight_decay=0.05, ema=0.9999),
    schedule=Schedule(
        epochs=300, warmup_epochs=20, warmup_lr=0.0, min_lr=1e-6, lr_per="step", cosine_from="warmup"
    ),
    batches=Batches(batch_size=4096),
)  # fmt: skip

RESNET = Recipe(
    network=Network(model="resnet50", stand_in="small_resnet"),
    images=Images(interpolation="bilinear"),
    mixing=Mixing(cutmix=1.0, mix_pairing="random"),
    loss=Loss(),
    optimization=Optimization(
        optimizer="sgd", lr=0.1, lr_scaling="linear", lr_batch=256, weight_decay=1e-4, ema=0.9999
    ),
    schedule=Schedule(epochs=90, warmup_lr=0.1, min_lr=0.0, lr_per="step", cosine_from="warmup"),
    batches=Batches(batch_size=2048),
)

# From no paper: for dozens or hundreds of images, such as the demo's, in less than a minute without a GPU. One thread,
# because for so small a model several would wait for each other, and for DALI's, longer than they work.
SMALL = Recipe(
    network=Network(model="small_vit", stand_in="small_vit"),
    images=Images(size=64, test_size=64, interpolation="bilinear"),
    mixing=DEIT.mixing,
    loss=DEIT.loss,
    optimization=Optimization(optimizer="adamw", lr=2e-3, lr_batch=8, weight_decay=0.05, clip_grad=1.0, ema=0.95),
    schedule=Schedule(
        epochs=12, warmup_epochs=2, warmup_lr=2e-4, min_lr=2e-5, lr_per="step", cosine_from="warmup"
    ),
    batches=Batches(batch_size=8, threads=1),
)  # fmt: skip

RECIPES = {
    "deit": DEIT, "deit3": DEIT3, "a1": A1, "a2": A2, "a3": A3, "convnext": CONVNEXT, "resnet": RESNET, "small": SMALL,
}  # fmt: skip
