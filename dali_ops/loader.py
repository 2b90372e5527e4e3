"""A loader of image folders: files in, mixed batches and targets out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from dali_ops.batch_info import BatchInfo, Outputs
from dali_ops.device import default_threads, usable_device
from dali_ops.folder import ImageFolder, name_unreadable
from dali_ops.guides import guide_for
from dali_ops.pipelines import training_pipeline, validation_pipeline
from dali_ops.reading import READER
from dalimix import Method, checks
from dalimix.heatmaps import HeatmapProvider, HeatmapStore, SnapshotHeatmap

IMAGENET_MEAN = (123.675, 116.28, 103.53)  # of pixels 0 … 255
IMAGENET_STD = (58.395, 57.12, 57.375)
CHANNELS = 3  # images are decoded to RGB


class ImageFolderLoader:
    """Batches of an image folder as torch tensors, mixed inside the DALI pipeline.

    ``for images, targets in loader`` goes through one epoch. A loop that is left early is finished by the next one.

    Args:
        root: folder with one sub-folder per class.
        method: e.g. ``dalimix.CutMix()``; None for plain batches.
        batch_size: images per batch.
        heatmaps: for methods that read them, a `dalimix.heatmaps.HeatmapStore` of this folder, whose maps are cut to
            every crop. Or a provider of `dalimix.heatmaps` whose model is on the loader's device, or any
            ``provider(images)``, see `dali_ops.model_heatmaps`. For a model that is being trained,
            ``SnapshotHeatmap(provider, every=k)``, because the loader works ahead in another thread.
        heatmap_labels: call ``provider(images, labels)``, with the class numbers of the folder, for a
            `ClassActivationHeatmap` of a model that has the same classes.
        size: side of the square images, in pixels.
        training: True: shuffled, random crop and flip. False: in order, centre crop, no method.
        device: ``"gpu"`` or ``"cpu"``; None: the GPU if there is one.
        device_id: which GPU.
        mean: per channel, in units of pixels 0 … 255.
        std: likewise.
        dtype: of the images: ``"float32"``, ``"float16"`` or ``"uint8"``.
        output_layout: ``"CHW"`` or ``"HWC"``.
        smoothing: label smoothing in [0, 1], with a method.
        form: ``"dense"`` or ``"pair"`` targets, with a method.
        drop_last: leave out the last batch if it is not full; None: in training only. A kept one is mixed before it is
            cut, so its images may have met a copy of the last.
        keep_info: tell with every batch what it was made of, in `batch_info`; with a method.
        num_threads: of DALI on the CPU; None: as many as there are cores, 8 at most.
        seed: of everything random; -1: a fresh one.

    Yields:
        ``(images, targets)``. Images [B, C, H, W] or [B, H, W, C]. Targets: with a method float32 [B, classes], or in
        the pair form (int64 [B], int64 [B], float32 [B, 2]); without one int64 [B].

    Attributes:
        classes: names of the classes; their places are the class numbers.
        device: where the pipeline runs.
        batch_info: with `keep_info`, a `BatchInfo` of the batch that was yielded last: labels before mixing, the plan,
            and with a `SnapshotHeatmap` the predictions of its model. Where a last batch was cut, the partner of an
            image may have been cut off.

    Raises:
        ValueError: a folder without images, a batch larger than the data set while the last is dropped, a method with
            ``training=False``, smoothing, pairs or `keep_info` without a method, a store without a map of some image;
            while iterating, a file that cannot be decoded, by name.
        RuntimeError: `batch_info` is read without `keep_info`, or before the first batch.
        ModuleNotFoundError: PyTorch is missing, or CuPy for the GPU.
    """

    def __init__(
        self,
        root: str | Path,
        method: Method | None = None,
        batch_size: int = 256,
        *,
        heatmaps: HeatmapProvider | HeatmapStore | None = None,
        heatmap_labels: bool = False,
        size: int = 224,
        training: bool = True,
        device: str | None = None,
        device_id: int = 0,
        mean: float | Sequence[float] = IMAGENET_MEAN,
        std: float | Sequence[float] = IMAGENET_STD,
        dtype: str = "float32",
        output_layout: str = "CHW",
        smoothing: float = 0.0,
        form: Literal["dense", "pair"] = "dense",
        drop_last: bool | None = None,
        keep_info: bool = False,
        num_threads: int | None = None,
        seed: int = -1,
    ) -> None:
        self._folder = ImageFolder.scan(root)
        self.classes = self._folder.classes
        self.device = usable_device(device)
        self._batch_size = batch_size
        self._drop_last = training if drop_last is None else drop_last
        self._check(root, method, training, size)
        _check_heatmaps(method, heatmaps, heatmap_labels)
        checks.form(form, smoothing)
        checks.scaling(mean, std, CHANNELS)
        _check_mixed_only(method, smoothing, form, keep_info)
        predictions = keep_info and isinstance(heatmaps, SnapshotHeatmap)
        normalise = {"mean": mean, "std": std, "dtype": dali_type(dtype), "output_layout": output_layout}
        runtime = _runtime(batch_size, num_threads, device_id if self.device == "gpu" else None, seed)
        if training:
            folder = self._folder.shuffled(runtime["seed"])
            options = {"num_classes": len(self.classes), "smoothing": smoothing, "form": form}
            guide = guide_for(method, heatmaps, heatmap_labels, predictions)
            pipeline = training_pipeline(
                folder, method, size, self.device, normalise, options, guide, keep_info, **runtime
            )  # fmt: skip
        else:
            pipeline = validation_pipeline(self._folder, size, self.device, normalise, **runtime)
        self._outputs = Outputs(method, form, keep_info, predictions, size)
        self._info: BatchInfo | None = None
        self._batches = self._iterator(pipeline)

    def _check(self, root: str | Path, method: Method | None, training: bool, size: int) -> None:
        for name, value in {"batch_size": self._batch_size, "size": size}.items():
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a whole number from 1, got {value!r}")
        if method is not None:
            checks.method(method)
        if method is not None and not training:
            raise ValueError("mixing is for training: with training=False, method must be None")
        if not len(self):
            count = len(self._folder.files)
            raise ValueError(f"batch_size {self._batch_size} is more than the {count} images in {root}: "
                             "choose a smaller one, or drop_last=False")  # fmt: skip

    def _iterator(self, pipeline: Any) -> Any:
        from nvidia.dali.plugin.pytorch import DALIGenericIterator, LastBatchPolicy

        return DALIGenericIterator(
            pipeline,
            self._outputs.names,
            reader_name=READER,
            auto_reset=True,
            last_batch_policy=LastBatchPolicy.DROP if self._drop_last else LastBatchPolicy.PARTIAL,
            prepare_first_batch=False,
        )

    def __len__(self) -> int:
        """Batches per epoch."""
        full, rest = divmod(len(self._folder.files), self._batch_size)
        return full + (rest > 0 and not self._drop_last)

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        while True:
            try:
                batch = next(self._batches)[0]
            except StopIteration:
                return
            except RuntimeError as error:
                name_unreadable(error, self._folder.files)
                raise
            self._info = self._outputs.batch_info(batch)
            yield self._outputs.batch(batch)

    @property
    def batch_info(self) -> BatchInfo:
        if self._info is None:
            raise RuntimeError("batch_info is there from the first batch on, in a loader with keep_info=True")
        return self._info


def _check_heatmaps(method: Method | None, heatmaps: object, labelled: bool) -> None:
    if method is not None:
        expected = "heatmaps=provider, such as one of dalimix.heatmaps, or a store"
        checks.heatmaps_wanted(method, heatmaps is not None, expected)
    elif heatmaps is not None:
        raise ValueError("heatmaps are for mixed batches, but method is None")
    if heatmaps is not None and not callable(heatmaps) and not isinstance(heatmaps, HeatmapStore):
        expected = "a provider of heatmaps, or a store as from HeatmapStore.open(path)"
        raise TypeError(f"heatmaps must be {expected}, got {type(heatmaps).__name__}")
    if labelled and (heatmaps is None or isinstance(heatmaps, HeatmapStore)):
        raise ValueError(f"heatmap_labels are for a provider of heatmaps, but heatmaps is {type(heatmaps).__name__}")


def _check_mixed_only(method: Method | None, smoothing: float, form: str, keep_info: bool) -> None:
    if method is None and (smoothing or form != "dense"):
        raise ValueError(f"smoothing and form are for mixed batches, but method is None; got {smoothing}, {form!r}")
    if method is None and keep_info:
        raise ValueError("keep_info is for mixed batches, but method is None")


def _runtime(batch_size: int, num_threads: int | None, device_id: int | None, seed: int) -> dict[str, Any]:
    """What every pipeline takes."""
    return {
        "batch_size": batch_size,
        "num_threads": num_threads or default_threads(),
        "device_id": device_id,
        "seed": None if seed < 0 else seed,
    }


def dali_type(name: str) -> Any:
    """DALI's type of this name.

    Raises:
        TypeError: not one that images can have.
    """
    from nvidia.dali import types

    known = {"float32": types.FLOAT, "float16": types.FLOAT16, "uint8": types.UINT8}
    if name not in known:
        raise TypeError(f"dtype must be {', '.join(known)}, got {name!r}")
    return known[name]
