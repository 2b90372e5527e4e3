"""Loaders: a data set in, mixed batches and targets out, in this process's share and from where a run left off."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, NoReturn

from dali_ops.loader.agreement import check_agreement
from dali_ops.loader.arguments import answering, check_source, seed_of, source_of
from dali_ops.loader.heatmap_sources import without_maps
from dali_ops.loader.outputs import BatchInfo
from dali_ops.loader.reading.feed import Feed
from dali_ops.loader.reading.order import Order, check_epoch
from dali_ops.loader.reading.shard import Shard
from dali_ops.loader.runtime import Runtime
from dali_ops.loader.settings import LoaderSettings, check_kind
from dali_ops.loader.stepper import Stepper
from dali_ops.loader.transforms import Eval, Train
from dali_ops.operators.targets import Targets
from dali_ops.sources import Source
from dalimix import Method, checks
from dalimix.heatmaps import HeatmapProvider
from dalimix.stores import HeatmapStore
from dalimix.support.uncompiled import uncompiled

if TYPE_CHECKING:
    from dali_ops.loader.dataset import LoaderDataset

MOST_IMAGES = (1 << 31) - 1  # of a batch


class Unchanged(Enum):
    """What `Loader.switch` leaves as it is; None is a value of some arguments."""

    UNCHANGED = auto()


UNCHANGED = Unchanged.UNCHANGED


class Loader:
    """Batches of a data set as torch tensors, mixed inside the DALI pipeline.

    ``for images, targets in loader`` goes through one epoch. A loop that is left early leaves out the rest of it, as
    with torch's DataLoader; the next one begins the next epoch. The pipeline works ahead, also into the next epoch.

    Where several processes train together, each reads its share and all make the same number of steps. With every
    image in a share of its own (validation that keeps its last batch), that of a process may be empty, [0, C, H, W]:
    count with sums, not with means of batches.

    Args:
        source: e.g. ``dali_ops.sources.WebDataset("train-{0000..0146}.tar")``; several loaders may read the same.
        method: e.g. ``dalimix.CutMix()``; None for plain batches.
        batch_size: images per batch and process.
        heatmaps: for methods that read them, a `dalimix.stores.HeatmapStore` of this source, whose maps are cut to
            every crop. Or a provider of `dalimix.heatmaps` whose model is on the loader's device, or any
            ``provider(images)``, see `dali_ops.model_heatmaps`. For a model that is being trained,
            ``SnapshotHeatmap(provider, every=k)``, because the loader works ahead in another thread.
        heatmap_labels: call ``provider(images, labels)``, with the class numbers of the source, for a
            `ClassActivationHeatmap` of a model that has the same classes.
        transform: ``Train(size, …)`` or ``Eval(size, …)``, with the fields of `dali_ops.Train` and `dali_ops.Eval`.
            With Eval, images come in order, and there is no method.
        targets: ``Targets(smoothing=0.1)`` or ``Targets(form="pair")``, with a method; see `dali_ops.Targets`.
        drop_last: leave out batches that are not full; None: only with Train. A kept one is mixed within itself.
        keep_info: tell with every batch what it was made of, in `batch_info`; with a method.
        skip_corrupt: leave out images that cannot be read or decoded, instead of an error, and those that a
            `HeatmapStore` has left out for that reason. Their batch is smaller, empty if it has no other image, and
            comes late, as a pipeline is begun anew for it: this is for some, not for many. `skipped` names them.
        rank: of this process; None: that of torch.distributed, if it runs.
        world_size: how many processes share the data; None: likewise.
        runtime: ``Runtime(device="gpu", num_threads=4, …)``; see `dali_ops.Runtime`.
        seed: of everything random, the same for all processes; -1 or None: a fresh one, for a single process. Where
            torch.distributed makes the shares, processes of different seeds or images find that out when the second
            one makes its loader; with `rank` and `world_size` of your own nobody can know, and batch sizes, which must
            be the same as well, are not compared.

    Yields:
        ``(images, targets)``. Images [B, C, H, W] or [B, H, W, C]. Targets: with a method float32 [B, classes], or in
        the pair form (int64 [B], int64 [B], float32 [B, 2]); without one int64 [B].

    Attributes:
        source: what it reads.
        classes: names of the classes; their places are the class numbers.
        device: where the pipeline runs.
        transform: what becomes of the images, now.
        targets: how targets are written, now.
        shard: which of how many processes this one is.
        epoch: which epoch the next batch belongs to, from 0.
        skipped: with `skip_corrupt`, the images that were left out so far, a line each.
        batch_info: with `keep_info`, a `BatchInfo` of the batch that was yielded last: labels before mixing, the plan,
            and with a `SnapshotHeatmap` the predictions of its model.

    Raises:
        TypeError: an argument of another type. One that a loader does not have is answered with the one that is meant.
            While iterating, `augment` has returned images of another dtype.
        ValueError: mean and std of other units than the images; a device that is not there; a seed or images that are
            not those of another process; a source without images, more images in a batch than there are while the last
            is dropped, a method with an Eval, smoothing, pairs or `keep_info` without a method, a store
            without a map of some image; several processes without a seed; corrupt members of an archive. While
            iterating, an image that cannot be decoded, by name, or images that `augment` has returned in another shape
            or in other units.
        RuntimeError: `batch_info` is read without `keep_info`, or before the first batch; a closed loader is used.
        ModuleNotFoundError: PyTorch is missing, or CuPy for the GPU.
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
        drop_last: bool | None = None,
        skip_corrupt: bool = False,
        rank: int | None = None,
        world_size: int | None = None,
        runtime: Runtime = Runtime(),
        seed: int | None = -1,
    ) -> None:
        self.source, self.classes = source_of(source), source.classes
        check_kind("runtime", runtime, Runtime, "dali_ops.Runtime(num_threads=4)")
        self.device, device_id = runtime.place()
        settings = LoaderSettings(
            method=method, transform=transform, targets=targets, heatmaps=heatmaps, heatmap_labels=heatmap_labels,
            keep_info=keep_info, device=self.device,
        )  # fmt: skip
        training, skip_corrupt = settings.training, checks.flag("skip_corrupt", skip_corrupt)
        drop_last = training if drop_last is None else checks.flag("drop_last", drop_last)
        batch_size, shard = checks.count("batch_size", batch_size, MOST_IMAGES), Shard.of(rank, world_size)
        feed = Feed(source, Order(len(source), batch_size, training, drop_last, seed_of(seed, shard, training), shard))
        check_source(source, feed.order, skip_corrupt)
        self._pin_memory = runtime.pins(self.device)
        check_agreement(feed, settings)
        running = runtime.of_pipeline(min(batch_size, len(source)), device_id)
        self._stepper = Stepper(feed, settings, running, skip_corrupt)
        self._info: BatchInfo | None = None
        self._loop: object = None

    def __len__(self) -> int:
        """Batches per epoch, the same for all processes."""
        return self._stepper.feed.order.steps

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        self._loop = loop = object()
        for _ in range(self._begin(), len(self)):
            yield self._next(loop)

    @uncompiled  # what a generator calls is compiled with the loop around it
    def _begin(self) -> int:
        """The step at which a loop begins, in this epoch or, where that has begun, in the next one."""
        stepper = self._stepper
        if stepper.step and not stepper.resumed:
            stepper.begin(stepper.epoch + 1)
        return stepper.step

    @uncompiled
    def _next(self, loop: object) -> tuple[Any, Any]:
        stepper = self._stepper
        stepper.check_open()
        if self._loop is not loop:
            raise RuntimeError("this loop is over: another one was begun, or the loader was told to go elsewhere")
        outputs = stepper.next()
        self._info = stepper.settings.outputs.batch_info(outputs)
        return stepper.settings.outputs.batch(outputs, self._pin_memory)

    @property
    def transform(self) -> Train | Eval:
        return self._stepper.settings.transform

    @property
    def targets(self) -> Targets:
        return self._stepper.settings.targets

    @property
    def epoch(self) -> int:
        return self._stepper.epoch

    @property
    def shard(self) -> Shard:
        return self._stepper.feed.order.shard

    @property
    def skipped(self) -> list[str]:
        reasons = dict.fromkeys(sorted(self._stepper.feed.skipped), "cannot be read or decoded")
        of_store = without_maps(self.source, self._stepper.settings.heatmaps)
        reasons |= dict.fromkeys(reasons.keys() & of_store, "has no heatmap: it could not be decoded for one")
        return [*self.source.corrupt, *(f"{self.source.place(k)} {reason}" for k, reason in reasons.items())]

    @property
    def batch_info(self) -> BatchInfo:
        if self._info is None:
            raise RuntimeError("batch_info is there from the first batch on, in a loader with keep_info=True")
        return self._info

    def set_epoch(self, epoch: int) -> None:
        """Let the next loop go through this epoch, from its start; after `load_state_dict` of it, from where it was.

        A state that was saved after the last batch of an epoch is of the next one: go on with `epoch`, which says so.

        Raises:
            ValueError: `epoch` is no whole number from 0.
        """
        check_epoch(epoch)
        stepper, self._loop = self._stepper, None
        if epoch != stepper.epoch or (stepper.step and not stepper.resumed):
            stepper.begin(epoch)

    def switch(
        self,
        *,
        method: Method | Unchanged | None = UNCHANGED,
        transform: Train | Eval | Unchanged = UNCHANGED,
        targets: Targets | Unchanged = UNCHANGED,
        heatmaps: HeatmapProvider | HeatmapStore | Unchanged | None = UNCHANGED,
        heatmap_labels: bool | Unchanged = UNCHANGED,
    ) -> None:
        """Go on differently from the next epoch on; the order of the images stays that of the seed.

        The rest of an epoch that is under way is left out. The old pipeline is taken down, and its memory with it. For
        images of another size there is ``loader.switch(transform=dataclasses.replace(loader.transform, size=288))``.

        Args:
            method: as in the loader. None stops mixing; targets keep the form that mixing gave them, and heatmaps are
                forgotten with a method that reads none.
            transform: of the same kind, `Train` or `Eval`.
            targets, heatmaps, heatmap_labels: as in the loader.

        Raises:
            TypeError, ValueError: as in the loader.
        """
        given: dict[str, Any] = {"method": method, "transform": transform, "targets": targets, "heatmaps": heatmaps}
        given["heatmap_labels"] = heatmap_labels
        changes = {name: value for name, value in given.items() if value is not UNCHANGED}
        stepper = self._stepper
        stepper.begin(stepper.epoch + (stepper.step > 0), settings=stepper.settings.switched(**changes))
        self._loop = self._info = None

    def state_dict(self) -> dict[str, Any]:
        """Where the loader stands, for `load_state_dict`: numbers, texts and bytes, some kilobytes.

        It is of this process, and refers to the batch after the last one that was yielded. The model of a provider of
        heatmaps is not part of it.
        """
        return self._stepper.state()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where the state was saved: the next loop begins with the very batch that came next there.

        Raises:
            ValueError: the state is of another data set, number of processes, process, version or other settings; or
                it is damaged. The loader goes on as if nothing had been loaded.
            TypeError: it is not from `state_dict`.
        """
        self._stepper.restore(state)
        self._loop = self._info = None

    def as_dataset(self, gather: bool = False) -> LoaderDataset:
        """An IterableDataset of the batches, for frameworks that want a DataLoader.

        ``DataLoader(loader.as_dataset(), batch_size=None)``, without workers: the loader has threads of its own.

        Args:
            gather: let `state_dict` be that of all processes of torch.distributed, which must all call it, for
                frameworks that save the state of process 0 alone.
        """
        from dali_ops.loader.dataset import LoaderDataset

        return LoaderDataset(self, checks.flag("gather", gather))

    def close(self) -> None:
        """Take down the pipeline with its threads. The source stays open: another loader may be reading it."""
        self._stepper.close()
        self._loop = self._info = None

    def __repr__(self) -> str:
        order = self._stepper.feed.order
        return f"<{type(self).__name__}: {len(self)} batches of {order.batch_size} of {len(self.source)} images>"

    def __getitem__(self, index: object) -> NoReturn:
        """What a DataLoader of the loader itself would ask for."""
        raise TypeError("a loader has batches, not items: for a DataLoader, "
                        "DataLoader(loader.as_dataset(), batch_size=None)")  # fmt: skip

    def __getstate__(self) -> NoReturn:
        raise TypeError("a loader cannot be copied or sent to another process: make it there, and load its state_dict")

    def __enter__(self) -> Loader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
