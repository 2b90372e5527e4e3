"""Heatmaps that were made once and are cut to every crop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from nvidia.dali import fn, types
from nvidia.dali.data_node import DataNode

from dali_ops.decorators import plain_python
from dali_ops.operators import bridge
from dali_ops.operators.nodes import check_cpu_node, device_of
from dalimix import checks
from dalimix.arrays import Array, array_module
from dalimix.heatmap_crop import check_grid, heatmap_crop
from dalimix.stores import HeatmapStore

WHOLE = (0.0, 0.0, 1.0, 1.0)


@plain_python  # plain Python, also where the pipeline around it is rewritten for conditionals
def stored_heatmaps(
    index: DataNode,
    store: HeatmapStore,
    anchor: DataNode | None = None,
    shape: DataNode | None = None,
    *,
    image_shape: DataNode | None = None,
    grid: int | None = None,
    device: Any = "cpu",
) -> DataNode:
    """Read the heatmaps of a batch from a store, each cut to the crop of its image, for ``mix(…, heatmaps=…)``.

    The reader gives the position of a file instead of its class index, which follows from it. The crop is drawn first
    and then applied to image and heatmap, so that both show the same::

        files = [f"{root}/{name}" for name in store.files]
        encoded, index = fn.readers.file(files=files, labels=list(range(len(files))))
        size = fn.peek_image_shape(encoded)
        anchor, shape = fn.random_crop_generator(size)
        images = fn.decoders.image_slice(encoded, anchor, shape, axes=[0, 1])
        heatmaps = stored_heatmaps(index, store, anchor, shape, image_shape=size)

    The cut is RoIAlign, see `dalimix.heatmap_crop`. A mirror is not applied: `mix` reads the heatmaps of mirrored
    images flipped. On the GPU the maps are in its memory, if they need no more than ``store.gpu_limit`` bytes (the
    first batch waits until they are copied there, once per store and device); else those of the batch are gathered on
    the host.

    Args:
        index: integer scalars or [1] on the CPU, positions in ``store.files``.
        store: the heatmaps that were made before.
        anchor: [2] on the CPU, top and left of the crop; as shares of the image, or with `image_shape` in pixels.
        shape: [2] on the CPU, height and width of the crop, likewise. Without both: the whole image.
        image_shape: [2] or [3] on the CPU, height and width of the whole image in pixels.
        grid: cells along each side of the heatmaps, up to 64; None: as many as in the store.
        device: ``"cpu"``, ``"gpu"``, ``"cuda"`` or a torch.device, where the heatmaps are wanted.

    Returns:
        float32 samples [grid, grid] from -1 to 1.

    Raises:
        TypeError, ValueError: arguments are out of range, raised here; or an index is outside the store or a crop has
            no area, raised when the pipeline runs, as DALI's RuntimeError with the message inside. (On the GPU, with
            the maps in its memory, such a heatmap is NaN.)
        RuntimeError: no pipeline is being defined.
        ModuleNotFoundError: ``device="gpu"`` without CuPy.

    Examples:
        >>> @pipeline_def(batch_size=4, num_threads=2, device_id=None)
        ... def training():
        ...     index = fn.readers.file(file_root=folder, files=store.files, labels=list(range(12)))[1]
        ...     return stored_heatmaps(index, store, grid=7)  # of the whole images
        >>> training().run()[0].shape()[0]
        (7, 7)
    """
    checks.kind("store", store, HeatmapStore, "a HeatmapStore, as from HeatmapStore.open(path)")
    crop = {"anchor": anchor, "shape": shape, "image_shape": image_shape}
    for name, node in {"index": index, **{name: node for name, node in crop.items() if node is not None}}.items():
        check_cpu_node(name, node)
    if (anchor is None) != (shape is None):
        raise ValueError("anchor and shape come together: one of them is None")
    bridge.current_pipeline("stored_heatmaps")
    device = device_of(device, index)
    grid = store.grid if grid is None else grid
    check_grid(grid)
    return crop_of(index, store, boxes_of(anchor, shape, image_shape), grid, device).node(device)


class Crop(NamedTuple):
    """Heatmaps that are still to be cut: ``function(*inputs)`` returns them in a list.

    The callback of `mix` can do that itself, so that Python is called, and the GIL waited for, once for a batch.
    """

    function: bridge.Callback
    inputs: list[DataNode]

    def node(self, device: str) -> DataNode:
        """Cut them in a callback of their own."""
        (heatmaps,) = bridge.whole_batch(self.function, self.inputs, 1, device, [""], name="StoredHeatmaps")
        return heatmaps


def crop_of(index: DataNode, store: HeatmapStore, boxes: DataNode, grid: int, device: str) -> Crop:
    """Return what `stored_heatmaps` calls."""
    index = fn.cast(index, dtype=types.INT64)
    if device == "gpu" and store.nbytes > store.gpu_limit:
        (maps,) = bridge.whole_batch(Gather(store), [index], 1, "cpu", [""], name="GatherHeatmaps")
        return Crop(CropOfBatch(grid), [maps.gpu(), boxes.gpu()])
    return Crop(CropOfStore(store, grid), [bridge.moved(index, device), bridge.moved(boxes, device)])


def boxes_of(anchor: DataNode | None, shape: DataNode | None, image_shape: DataNode | None) -> DataNode:
    """Float64 [4]: top, left, height and width of a crop as shares of the image."""
    if anchor is None:
        return fn.cast(fn.constant(fdata=list(WHOLE), shape=[4]), dtype=types.FLOAT64)
    crop = fn.cast(fn.cat(anchor, shape), dtype=types.FLOAT64)
    if image_shape is None:
        return crop
    size = image_shape[0:2]
    return crop / fn.cat(size, size)


@dataclass(frozen=True, eq=False)
class Gather:
    """The callback on the host: positions in, their maps out."""

    store: HeatmapStore

    def __call__(self, index: np.ndarray) -> list[np.ndarray]:
        return [self.store.gather(index.reshape(-1))]


@dataclass(frozen=True, eq=False)
class CropOfStore:
    """The callback where all maps are at hand: positions and boxes in, heatmaps out."""

    store: HeatmapStore
    grid: int

    def __call__(self, index: Array, boxes: Array) -> list[Array]:
        maps = self.store.on(array_module(index))
        return [heatmap_crop(maps, index.reshape(-1), boxes, self.grid)]


@dataclass(frozen=True, eq=False)
class CropOfBatch:
    """The callback where the maps of the batch were gathered: maps and boxes in, heatmaps out."""

    grid: int

    def __call__(self, maps: Array, boxes: Array) -> list[Array]:
        index = array_module(maps).arange(len(maps), dtype="int32")
        return [heatmap_crop(maps, index, boxes, self.grid)]
