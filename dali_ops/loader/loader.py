"""Loaders: mixed batches and targets from a data set, for this process's share, resumable at any batch."""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Any, NoReturn

from dali_ops.keywords import answering
from dali_ops.loader.agreement import check_agreement
from dali_ops.loader.arguments import check_source, seed_of, source_of
from dali_ops.loader.batches import Batches
from dali_ops.loader.heatmap_sources import without_maps
from dali_ops.loader.prefetcher import Prefetcher
from dali_ops.loader.reading.feed import Feed
from dali_ops.loader.reading.order import Order
from dali_ops.loader.reading.shard import Shard
from dali_ops.loader.runtime import Runtime
from dali_ops.loader.settings import LoaderSettings
from dali_ops.loader.transforms import Eval, Train
from dali_ops.operators.targets import Targets
from dali_ops.samplers.sampler import Sampler
from dali_ops.sources import Source
from dalimix import Method, checks
from dalimix.heatmaps import HeatmapProvider
from dalimix.stores import HeatmapStore

if TYPE_CHECKING:
    from dali_ops.loader.dataset import LoaderDataset

MOST_IMAGES = (1 << 31) - 1  # of a batch


class Unchanged(Enum):
    """The default of `Loader.switch`: leave this as it is. None cannot say so, as it is a value of some arguments."""

    UNCHANGED = auto()


UNCHANGED = Unchanged.UNCHANGED


class Loader(Batches):
    """Batches of a data set as torch tensors, mixed inside the DALI pipeline.

    ``for images, targets in loader`` goes through one epoch. If a loop ends early, the rest of the epoch is left out,
    as with torch's DataLoader, and the next loop begins the next epoch. The pipeline works ahead, also into the next
    epoch.

    Where several processes train together, each reads its share and all make the same number of steps. In validation
    that keeps its last batch, every image is in exactly one share, and a process's last batch may be empty, [0, C, H,
    W]: compute metrics from sums, not from means of batches.

    Args:
        source: e.g. ``dali_ops.sources.WebDataset("train-{0000..0146}.tar")``; several loaders may read the same.
        method: e.g. ``dalimix.CutMix()``; None for plain batches.
        batch_size: images per batch and process.
        heatmaps: for methods that read them, a `dalimix.stores.HeatmapStore` of this source, whose maps are cut to
            every crop. Or a provider of `dalimix.heatmaps` whose model is on the loader's device, or any
            ``provider(images)``, see `dali_ops.model_heatmaps`. For a model that is being trained, use
            ``SnapshotHeatmap(provider, every=k)``, because the loader works ahead in another thread.
        heatmap_labels: call ``provider(images, labels)``, with the source's class indices, for a
            `ClassActivationHeatmap` of a model that has the same classes.
        transform: ``Train(size, …)`` or ``Eval(size, …)``, with the fields of `dali_ops.Train` and `dali_ops.Eval`.
            With Eval, images come in order, and there is no method.
        targets: ``Targets(smoothing=0.1)`` or ``Targets(form="pair")``, with a method; see `dali_ops.Targets`.
        drop_last: leave out batches that are not full; None: only with Train. The images of a shorter batch that is
            kept are mixed among themselves.
        keep_info: provide in `batch_info` what each batch was made of; with a method.
        sampler: of `dali_ops.samplers`, with Train: ``Repeated(3)``, ``Weighted(weights)`` or ``Balanced()``; None:
            every image once in an epoch.
        skip_corrupt: leave out images that cannot be read or decoded, instead of an error, and those that a
            `HeatmapStore` has left out for that reason. Their batch is smaller, or empty if it has no other image, and
            comes late, because the pipeline is restarted for it: this is for a few images, not for many. `skipped`
            names them.
        rank: of this process; None: that of torch.distributed, if it runs.
        world_size: how many processes share the data; None: likewise.
        runtime: ``Runtime(device="gpu", num_threads=4, …)``; see `dali_ops.Runtime`.
        seed: of everything random, the same for all processes; -1 or None: a fresh one, for a single process. Where
            torch.distributed makes the shares, different seeds, images or samplers are found when the second process
            makes its loader; with your own `rank` and `world_size` they cannot be. Batch sizes, which must also be the
            same, are not compared.

    Yields:
        ``(images, targets)``. Images are [B, C, H, W] or [B, H, W, C]. With a method, targets are float32 [B, classes],
            or in the pair form (int64 [B], int64 [B], float32 [B, 2]); without one, int64 [B].

    Attributes:
        source: the data set.
        classes: names of the classes; their positions are the class indices.
        device: where the pipeline runs.
        transform: the current transform.
        targets: the current form of the targets.
        shard: which of how many processes this one is.
        epoch: the epoch of the next batch, from 0.
        skipped: with `skip_corrupt`, the images that were left out so far, a line each.
        batch_info: with `keep_info`, a `BatchInfo` of the last batch that was yielded: labels before mixing, the plan,
            which images they are, and with a `SnapshotHeatmap` the predictions of its model.

    Raises:
        TypeError: an argument has another type, or does not exist; then the error names the one that is meant.
            While iterating, `augment` has returned images of another dtype.
        ValueError: mean and std are in other units than the images; the device does not exist; the seed, images or
            sampler are not those of another process; the source has no images, or fewer than one batch while the
            last one is dropped; there is a method or a sampler with an Eval, or smoothing, pairs or `keep_info` without
            a method; a store lacks the map of an image; a sampler has more or fewer weights than there are images, or
            no image for each process; there are several processes without a seed; an archive has corrupt members.
            While iterating, an image cannot be decoded (the error names it), or `augment` has returned images of
            another shape or in other units.
        RuntimeError: `batch_info` is read without `keep_info`, or before the first batch; a closed loader is used.
        ModuleNotFoundError: PyTorch is missing, or CuPy for the GPU.

    Examples:
        >>> source = ImageFolder.scan(folder)  # or WebDataset, TFRecord, FileList
        >>> method = RandomChoice([Mixup(alpha=0.8), CutMix(alpha=1.0)])
        >>> loader = Loader(source, method, batch_size=4, transform=Train(32), targets=Targets(smoothing=0.1), seed=0)
        >>> for images, targets in loader:
        ...     loss = torch.nn.functional.cross_entropy(cnn(images), targets)
        >>> images.shape, targets.shape, loader.epoch
        (torch.Size([4, 3, 32, 32]), torch.Size([4, 3]), 1)
        >>> loader.close()
    """

    @answering
    def __init__(
        self,
        source: Source,
        method: Method | None = None,
        batch_size: int = 256,
        *,
        transform: Train | Eval = Train(),
        targets: Targets = Targets(),
        heatmaps: HeatmapProvider | HeatmapStore | None = None,
        heatmap_labels: bool = False,
        keep_info: bool = False,
        sampler: Sampler | None = None,
        drop_last: bool | None = None,
        skip_corrupt: bool = False,
        rank: int | None = None,
        world_size: int | None = None,
        runtime: Runtime = Runtime(),
        seed: int | None = -1,
    ) -> None:
        self.source, self.classes = source_of(source), source.classes
        checks.kind("runtime", runtime, Runtime, "dali_ops.Runtime(num_threads=4), or one like it")
        self.device, device_id = runtime.resolved()
        settings = LoaderSettings(
            method=method, transform=transform, targets=targets, heatmaps=heatmaps, heatmap_labels=heatmap_labels,
            keep_info=keep_info, sampler=sampler, device=self.device,
        )  # fmt: skip
        training, skip_corrupt = settings.training, checks.flag("skip_corrupt", skip_corrupt)
        drop_last = training if drop_last is None else checks.flag("drop_last", drop_last)
        batch_size, shard = checks.count("batch_size", batch_size, MOST_IMAGES), Shard.of(rank, world_size)
        epochs = None if sampler is None else sampler.of(source)
        seed = seed_of(seed, shard, training)
        feed = Feed(source, Order(len(source), batch_size, training, drop_last, seed, shard, epochs))
        check_source(source, feed.order, skip_corrupt)
        pin_memory = runtime.pins(self.device)
        check_agreement(feed, settings)
        running = runtime.of_pipeline(min(batch_size, len(source)), device_id)
        super().__init__(Prefetcher(feed, settings, running, skip_corrupt), pin_memory)

    @property
    def transform(self) -> Train | Eval:
        return self._prefetcher.settings.transform

    @property
    def targets(self) -> Targets:
        return self._prefetcher.settings.targets

    @property
    def shard(self) -> Shard:
        return self._prefetcher.feed.order.shard

    @property
    def skipped(self) -> list[str]:
        reasons = dict.fromkeys(sorted(self._prefetcher.feed.skipped), "cannot be read or decoded")
        of_store = without_maps(self.source, self._prefetcher.settings.heatmaps)
        reasons |= dict.fromkeys(reasons.keys() & of_store, "has no heatmap: it could not be decoded for one")
        return [*self.source.corrupt, *(f"{self.source.location(k)} {reason}" for k, reason in reasons.items())]

    @answering
    def switch(
        self,
        *,
        method: Method | Unchanged | None = UNCHANGED,
        transform: Train | Eval | Unchanged = UNCHANGED,
        targets: Targets | Unchanged = UNCHANGED,
        heatmaps: HeatmapProvider | HeatmapStore | Unchanged | None = UNCHANGED,
        heatmap_labels: bool | Unchanged = UNCHANGED,
    ) -> None:
        """Use other settings from the next epoch on; the order of the images stays that of the seed.

        The rest of the current epoch is left out. The old pipeline is shut down, which frees its memory. For
        images of another size, call ``loader.switch(transform=dataclasses.replace(loader.transform, size=288))``.

        Args:
            method: as in the loader. None stops mixing; targets keep the form that mixing gave them, and heatmaps are
                dropped with a method that reads none.
            transform: of the same kind, `Train` or `Eval`.
            targets, heatmaps, heatmap_labels: as in the loader.

        Raises:
            TypeError, ValueError: as in the loader.

        Examples:
            >>> loader = ImageFolderLoader(folder, CutMix(), batch_size=4, transform=Train(32), seed=0)
            >>> steps = sum(1 for images, targets in loader)
            >>> loader.switch(method=Mixup(alpha=0.2), transform=Train(48))  # for the last epochs
            >>> images, targets = next(iter(loader))
            >>> images.shape
            torch.Size([4, 3, 48, 48])
            >>> loader.close()
        """
        given: dict[str, Any] = {"method": method, "transform": transform, "targets": targets, "heatmaps": heatmaps}
        given["heatmap_labels"] = heatmap_labels
        changes = {name: value for name, value in given.items() if value is not UNCHANGED}
        self._prefetcher.switch(**changes)
        self._info = None

    def as_dataset(self, gather: bool = False) -> LoaderDataset:
        """Return an IterableDataset of the batches, for frameworks that want a DataLoader.

        Use ``DataLoader(loader.as_dataset(), batch_size=None)``, without workers: the loader has threads of its own.

        Args:
            gather: let `state_dict` return the states of all processes of torch.distributed, which must all call it,
                for frameworks that save the state of process 0 only.

        Examples:
            >>> loader = ImageFolderLoader(folder, CutMix(), batch_size=4, transform=Train(32), seed=0)
            >>> batches = torch.utils.data.DataLoader(loader.as_dataset(), batch_size=None)
            >>> [images.shape[0] for images, targets in batches]
            [4, 4, 4]
            >>> loader.close()
        """
        from dali_ops.loader.dataset import LoaderDataset

        return LoaderDataset(self, checks.flag("gather", gather))

    def __repr__(self) -> str:
        order = self._prefetcher.feed.order
        return f"<{type(self).__name__}: {len(self)} batches of {order.batch_size} of {len(self.source)} images>"

    def __getitem__(self, index: object) -> NoReturn:
        """Raise a TypeError: a DataLoader of the loader itself would call this."""
        raise TypeError("a loader has batches, not items: for a DataLoader, "
                        "DataLoader(loader.as_dataset(), batch_size=None)")  # fmt: skip

    def __getstate__(self) -> NoReturn:
        raise TypeError("a loader cannot be copied or sent to another process: make it there, and load its state_dict")

    def __enter__(self) -> Loader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
