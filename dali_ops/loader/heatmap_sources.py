"""Images of a source with their heatmaps, for the training pipeline: from a model, from a store, or none."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from nvidia.dali.data_node import DataNode

from dali_ops.loader.augmentations import apply_named
from dali_ops.loader.reading.decoding import Window, random_crop
from dali_ops.loader.reading.feed import Feed
from dali_ops.loader.reading.unreadable import LEAVES_OUT
from dali_ops.loader.transforms import Train
from dali_ops.operators import bridge
from dali_ops.operators.augment import augmented
from dali_ops.operators.model_heatmaps import model_heatmaps
from dali_ops.operators.stored_heatmaps import Crop, boxes_of, crop_of
from dali_ops.sources import ImageFolder, Source
from dalimix import Method
from dalimix.heatmap_crop import MAX_GRID
from dalimix.heatmaps import HeatmapProvider
from dalimix.stores import HeatmapStore


class Samples(NamedTuple):
    """Images and their class indices; heatmaps, and the output of the model that made them, if there are any."""

    images: DataNode
    labels: DataNode
    heatmaps: DataNode | Crop | None = None
    predictions: DataNode | None = None


@dataclass(frozen=True)
class ModelSource:
    """Heatmaps are ``provider(images)``, or ``provider(images, labels)`` with `labelled`; without a provider, none.

    With `predictions`, the model's predictions of the same images are part of the samples.
    """

    provider: HeatmapProvider | None = None
    labelled: bool = False
    predictions: bool = False

    def samples(self, feed: Feed, transform: Train, device: str) -> Samples:
        encoded, labels = feed.read(feed.source.class_indices)
        labels, (images, _) = bridge.moved(labels, device), cropped(encoded, transform, device)
        images = changed(images, transform)
        if self.provider is None:
            return Samples(images, labels)
        seen = labels if self.labelled else None
        made = model_heatmaps(images, self.provider, seen, predictions=self.predictions, device=device)
        return Samples(images, labels, *(made if self.predictions else (made,)))


@dataclass(frozen=True)
class StoreSource:
    """Heatmaps come from a store, cut to the crop of each image and resampled to the method's grid."""

    store: HeatmapStore
    method: Method

    @property
    def grid(self) -> int:
        """The method's grid, or the store's if that of a choice between methods is too fine for a heatmap."""
        own = self.method.heatmap_grid or self.method.token_grid
        square = own is not None and own[0] == own[1] <= MAX_GRID
        return own[0] if own is not None and square else min(self.store.grid, MAX_GRID)

    def samples(self, feed: Feed, transform: Train, device: str) -> Samples:
        encoded, labels, index = feed.read(feed.source.class_indices, places(feed.source, self.store, feed.skipped))
        images, window = cropped(encoded, transform, device)
        boxes = boxes_of(window.anchor, window.shape, window.image_shape)
        heatmaps = crop_of(index, self.store, boxes, self.grid, device)
        images = changed(images, transform)
        return Samples(images, bridge.moved(labels, device), heatmaps)


HeatmapSource = ModelSource | StoreSource


def cropped(encoded: DataNode, transform: Train, device: str) -> tuple[DataNode, Window]:
    """Random crops of the images, resized."""
    scale, ratio, interpolation = transform.scale, transform.ratio, transform.interpolation
    return random_crop(encoded, transform.sides, device, scale=scale, ratio=ratio, interpolation=interpolation)


def changed(images: DataNode, transform: Train) -> DataNode:
    """What the transform's `augment` makes of cropped images, if there is one."""
    if isinstance(transform.augment, str):
        return apply_named(transform.augment, images, transform.sides)
    return augmented(images, transform.augment, transform.sides)


def places(source: Source, store: HeatmapStore, skipped: Set[int] = frozenset()) -> np.ndarray:
    """Int32 [N]: the position of each image's map in the store; 0 for an image that is skipped and has none.

    Raises:
        ValueError: an image has no map.
    """
    place, names = {name: k for k, name in enumerate(store.files)}, source.names
    missing = [name for k, name in enumerate(names) if name not in place and k not in skipped]
    if missing:
        known = missing[0] in store.left_out
        reason = f": it could not be decoded when the maps were made; {LEAVES_OUT}" if known else ""
        count = f"{len(missing)} of {len(names)} files have none"
        raise ValueError(f"{store.path} has no heatmap of {missing[0]!r}; {count}{reason}")
    return np.array([place.get(name, 0) for name in names], np.int32)


def without_maps(source: Source, heatmaps: object) -> list[int]:
    """The images that the heatmaps, if they are a store, leave out."""
    left_out = set(heatmaps.left_out) if isinstance(heatmaps, HeatmapStore) else set()
    return [k for k, name in enumerate(source.names) if name in left_out] if left_out else []


def with_maps(folder: ImageFolder, store: HeatmapStore) -> ImageFolder:
    """Return the images of a folder without those that a store has left out.

    Raises:
        ValueError: none is left.
    """
    without = set(without_maps(folder, store))
    if len(without) == len(folder):
        what = f"{store.path} has left out all {len(folder)} images of {folder.root}"
        raise ValueError(f"{what}: they could not be decoded when the maps were made; mend them and make it anew")
    return folder.picked([number for number in range(len(folder)) if number not in without])


def source_of_heatmaps(method: Method | None, heatmaps: Any, labelled: bool, predictions: bool) -> HeatmapSource:
    """Return the source of the heatmaps that the user gave: a store, a provider or None."""
    if isinstance(heatmaps, HeatmapStore):
        assert method is not None  # there are no heatmaps without one
        return StoreSource(heatmaps, method)
    return ModelSource(heatmaps, labelled, predictions)
