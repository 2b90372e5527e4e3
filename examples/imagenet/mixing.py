"""How train.py mixes batches, and the loss of a mixed batch: one class for each way."""

from dataclasses import replace

import torch
from losses import make_loss
from models import is_transformer, last_attention, token_classifier, token_grid

from dali_ops import Targets
from dali_ops.assets.teacher import SIZE as TEACHER_SIZE
from dali_ops.assets.teacher import teacher
from dali_ops.imagenet import IMAGENET_MEAN, IMAGENET_STD
from dalimix import METHODS, CutMix, Mixup, RandomChoice
from dalimix.heatmaps import AttentionHeatmap, FeatureHeatmap, SnapshotHeatmap
from dalimix.stores import HeatmapStore
from dalimix.torch import SMMixBatch, SMMixLoss, SMMixStep

NAMES = ["recipe", "none", *METHODS]


class InLoader:
    """The loader mixes, and the loss is that of the recipe.

    Attributes:
        loader_options: keywords of `dali_ops.Loader`.
    """

    def __init__(self, method, heatmaps, criterion, **options):
        self.loader_options, self.criterion = {"method": method}, criterion
        if method is not None:
            targets = Targets(criterion.smoothing_in_loader)
            self.loader_options |= {"heatmaps": heatmaps, "targets": targets, **options}

    def network(self, model):
        """The module to train, which is or contains the model."""
        return model

    def loss(self, network, images, targets, loader):
        """The loss of a batch, and the logits and targets for its accuracy."""
        logits = network(images)
        return self.criterion(logits, targets), logits, targets

    def stop(self, loader):
        """Do not mix from the next epoch on."""
        if self.loader_options["method"] is not None:
            loader.switch(method=None)

    def stepped(self):
        """Called after every step of the optimizer."""

    def state(self):
        """What this process adds to a checkpoint."""

    def restore(self, state):
        """Called after the weights of the model have been loaded."""


class SMMixInLoader(InLoader):
    """The loader mixes by a store, and the tokens have losses of their own."""

    def __init__(self, method, heatmaps, criterion):
        super().__init__(method, heatmaps, criterion, keep_info=True)
        self.token_criterion = SMMixLoss(criterion.smoothing)

    def network(self, model):
        return token_classifier(model)

    def mixed(self, images, targets, loader):
        """The batch with its plan, or None after mixing has stopped."""
        batch = SMMixBatch(images, targets, **vars(loader.batch_info))
        return None if batch.plan.tokens is None else batch

    def loss(self, network, images, targets, loader):
        batch = self.mixed(images, targets, loader)
        if batch is None:
            return super().loss(network, images, targets, loader)
        outputs = network(batch.images, batch.plan.tokens)
        return self.token_criterion(outputs, batch).total, outputs[0], batch.targets


class SMMixBySnapshot(SMMixInLoader):
    """The loader mixes by what a copy of the model looks at.

    The copy is refreshed every few steps while the loader works ahead, so no two runs are exactly alike.
    """

    def stepped(self):
        self.loader_options["heatmaps"].step()

    def restore(self, state):
        self.loader_options["heatmaps"].refresh()


class SMMixInStep(SMMixInLoader):
    """As in the paper: the loader does not mix, but the step, after the model in training has looked at the batch."""

    def __init__(self, method, criterion, model, classes, seed):
        super().__init__(None, None, criterion)
        self.on, self.generator = True, torch.Generator().manual_seed(seed)
        provider = AttentionHeatmap(model, last_attention(model))  # without mean and std: the images are normalised
        self.mix = SMMixStep(provider, classes, method, smoothing=criterion.smoothing, generator=self.generator)

    def mixed(self, images, targets, loader):
        return self.mix(images, targets) if self.on else None

    def stop(self, loader):
        self.on = False

    def state(self):
        return self.generator.get_state()

    def restore(self, state):
        self.generator.set_state(state)


def make_mixing(options, recipe, model, classes, process):
    """The way that fits the method, the model and, if there is one, the store."""
    method = method_of(options.method, recipe, token_grid(model, recipe.images.size))
    store = None if options.heatmaps is None else HeatmapStore.open(options.heatmaps)
    if store is not None and not (method and method.reads_heatmaps):
        raise ValueError(f"--heatmaps is for methods that read them, but not for --method {options.method}")
    smmix = method is not None and method.heatmap_grid is not None
    if options.snapshot_every and (store is not None or not smmix):
        raise ValueError("--snapshot-every is for smmix, where the model in training looks; it has no --heatmaps")
    if smmix:
        return _smmix(options, recipe, method, store, model, classes, process)
    needed = method is not None and method.needs_heatmaps and store is None
    return InLoader(method, _teacher(recipe.images.size, process) if needed else store, make_loss(recipe.loss))


def method_of(name, recipe, grid):
    """The method, on the model's grid of tokens; TokenMix's `min_tokens` is the same share as 14 of 14 × 14."""
    if name in ("none", "recipe"):
        return method_of_recipe(recipe.mixing) if name == "recipe" else None
    of_tokens = {"token_mix": {"grid": grid, "min_tokens": grid**2 // 14}, "smmix": {"grid": grid}}
    return METHODS[name](**of_tokens.get(name, {}))


def method_of_recipe(mixing):
    """Mixup, CutMix, one of both for each batch, or None."""
    shared = {"per": mixing.mix_per, "pairing": mixing.mix_pairing}
    kinds = [kind(alpha, **shared) for kind, alpha in ((Mixup, mixing.mixup), (CutMix, mixing.cutmix)) if alpha]
    if len(kinds) < 2:
        return replace(kinds[0], prob=mixing.mix_prob) if kinds else None
    return RandomChoice(kinds, p=[1 - mixing.switch_prob, mixing.switch_prob], per=mixing.mix_per, prob=mixing.mix_prob)


def _teacher(size, process):
    """The demo's teacher; enlarging small images to its full size would show it no more."""
    made = teacher(process.dali_device)
    size = min(TEACHER_SIZE, max(size, TEACHER_SIZE // 2))
    return FeatureHeatmap(made.model, made.layer, mean=made.mean, std=made.std, size=size)


def _smmix(options, recipe, method, store, model, classes, process):
    """SMMix by a store, by a copy of the model, or by the model itself."""
    criterion = make_loss(recipe.loss)
    if not is_transformer(model):
        if store is None:
            remedy = "give --heatmaps STORE, or another --model"
            raise ValueError(f"{options.method} needs a vision transformer, which {options.model} is not: {remedy}")
        return InLoader(method, store, criterion)
    if recipe.loss.loss == "bce":
        raise ValueError(f"{options.method} has a loss of its own, of cross-entropies: give --loss cross_entropy")
    if store is None and not options.snapshot_every:
        return SMMixInStep(method, criterion, model, classes, options.seed * process.world_size + process.rank)
    if store is not None:
        return SMMixInLoader(method, store, criterion)
    scaling = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD}
    provider = AttentionHeatmap(model, last_attention(model), **scaling, autocast=process.amp)
    return SMMixBySnapshot(method, SnapshotHeatmap(provider, options.snapshot_every), criterion)
