"""What train_imagenet.py mixes by, where, and the loss of a batch: one class for each way."""

import torch
from imagenet_models import is_transformer, last_attention, token_classifier, token_grid
from torch.nn.functional import cross_entropy

from dali_ops.assets.teacher import SIZE as TEACHER_SIZE
from dali_ops.assets.teacher import teacher
from dali_ops.imagenet import IMAGENET_MEAN, IMAGENET_STD
from dalimix import METHODS
from dalimix.heatmaps import AttentionHeatmap, FeatureHeatmap, SnapshotHeatmap
from dalimix.stores import HeatmapStore
from dalimix.torch import SMMixBatch, SMMixLoss, SMMixStep

NAMES = ["recipe", "none", *METHODS]


class InLoader:
    """The loader mixes; by class numbers or soft targets, the loss is cross-entropy.

    Attributes:
        loader_options: of `dali_ops.Loader`.
    """

    def __init__(self, method, heatmaps, smoothing):
        self.loader_options = {"method": method}
        if method is not None:
            self.loader_options |= {"heatmaps": heatmaps, "smoothing": smoothing}
        self.smoothing = smoothing

    def network(self, model):
        """What is trained in place of the model."""
        return model

    def loss(self, network, images, targets, loader):
        """Of one batch, and the logits and targets that it compares."""
        logits = network(images)
        smoothing = 0.0 if targets.is_floating_point() else self.smoothing  # soft ones are smoothed already
        return cross_entropy(logits, targets, label_smoothing=smoothing), logits, targets

    def stop(self, loader):
        """Mix no more, from the next epoch on."""
        if self.loader_options["method"] is not None:
            loader.switch(method=None)

    def stepped(self):
        """The optimizer has made its step."""

    def state(self):
        """What a checkpoint must hold of this process."""
        return None

    def restore(self, state):
        """Go on from there; the model's weights have been loaded."""


class SMMixInLoader(InLoader):
    """The loader mixes by a store, or by what a copy of the model looks at, and the tokens have losses of their own.

    With the copy, which is refreshed every few steps while the loader works ahead, two runs are never quite the same.
    """

    def __init__(self, method, heatmaps, smoothing):
        super().__init__(method, heatmaps, smoothing)
        self.loader_options["keep_info"] = True
        self.snapshot = heatmaps if isinstance(heatmaps, SnapshotHeatmap) else None
        self.criterion = SMMixLoss(smoothing)

    def network(self, model):
        return token_classifier(model)

    def loss(self, network, images, targets, loader):
        batch = SMMixBatch(images, targets, **vars(loader.batch_info))
        if batch.plan.tokens is None:  # mixing was stopped
            return super().loss(network, images, targets, loader)
        return self.of(network, batch)

    def of(self, network, batch):
        outputs = network(batch.images, batch.plan.tokens)
        return self.criterion(outputs, batch).total, outputs[0], batch.targets

    def stepped(self):
        if self.snapshot is not None:
            self.snapshot.step()

    def restore(self, state):
        if self.snapshot is not None:
            self.snapshot.refresh()


class SMMixInStep(SMMixInLoader):
    """As in the paper: in every step the model looks at the batch, which the loader gives unmixed; then it is mixed."""

    def __init__(self, method, smoothing, model, classes, seed):
        InLoader.__init__(self, None, None, smoothing)
        self.snapshot, self.criterion, self.on = None, SMMixLoss(smoothing), True
        self.generator = torch.Generator().manual_seed(seed)
        provider = AttentionHeatmap(model, last_attention(model))  # the images come normalised
        self.mix = SMMixStep(provider, classes, method, smoothing=smoothing, generator=self.generator)

    def loss(self, network, images, targets, loader):
        if not self.on:
            return InLoader.loss(self, network, images, targets, loader)
        return self.of(network, self.mix(images, targets))

    def stop(self, loader):
        self.on = False

    def state(self):
        return self.generator.get_state()

    def restore(self, state):
        self.generator.set_state(state)


def make_mixing(options, recipe, model, classes, place):
    """The way that belongs to a method, a model and, if there is one, a store."""
    method = _method(options.method, recipe, token_grid(model, recipe.size))
    store = None if options.heatmaps is None else HeatmapStore.open(options.heatmaps)
    if store is not None and not (method and method.reads_heatmaps):
        raise ValueError(f"--heatmaps is for methods that read them, but not for --method {options.method}")
    if options.snapshot_every and (store is not None or method is None or method.heatmap_grid is None):
        raise ValueError("--snapshot-every is for smmix, where the model in training looks; it has no --heatmaps")
    if method is None or method.heatmap_grid is None:
        needed = method is not None and method.needs_heatmaps and store is None
        return InLoader(method, _teacher(recipe.size, place) if needed else store, recipe.smoothing)
    return _smmix(options, recipe, method, store, model, classes, place)


def _method(name, recipe, grid):
    """Token grids are the model's; TokenMix's fewest tokens keep their share, 14 of 14 × 14."""
    if name in ("none", "recipe"):
        return recipe.mixing if name == "recipe" else None
    of_tokens = {"token_mix": {"grid": grid, "min_tokens": grid**2 // 14}, "smmix": {"grid": grid}}
    return METHODS[name](**of_tokens.get(name, {}))


def _teacher(size, place):
    """The demo's; small images show no more to it when they are enlarged to its own size."""
    made = teacher(place.dali)
    size = min(TEACHER_SIZE, max(size, TEACHER_SIZE // 2))
    return FeatureHeatmap(made.model, made.layer, mean=made.mean, std=made.std, size=size)


def _smmix(options, recipe, method, store, model, classes, place):
    """By the store, by a copy of the model, or by the model itself."""
    if not is_transformer(model):
        if store is None:
            remedy = "give --heatmaps STORE, or another --model"
            raise ValueError(f"{options.method} needs a vision transformer, which {options.model} is not: {remedy}")
        return InLoader(method, store, recipe.smoothing)
    if store is None and not options.snapshot_every:
        seed = options.seed * place.processes + place.rank
        return SMMixInStep(method, recipe.smoothing, model, classes, seed)
    if store is None:
        scaling = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD}
        provider = AttentionHeatmap(model, last_attention(model), **scaling, autocast=place.amp)
        return SMMixInLoader(method, SnapshotHeatmap(provider, options.snapshot_every), recipe.smoothing)
    return SMMixInLoader(method, store, recipe.smoothing)
