"""From the files of an image folder to images of one size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from nvidia.dali import fn, types
from nvidia.dali.data_node import DataNode

from dali_ops.folder import ImageFolder

READER = "reader"
SMALLEST = 0.08  # share of an image's area that a random crop keeps at least, as in ImageNet recipes


class Window(NamedTuple):
    """A crop of an image, in pixels: int32 [2] (top, left), int32 [2] (height, width), and the image's int64 [3]."""

    anchor: DataNode
    shape: DataNode
    image_shape: DataNode


def read(folder: ImageFolder, shuffle: bool, numbers: Sequence[int] | None = None) -> tuple[DataNode, DataNode]:
    """Files as bytes, and a number of each, int32 [1]: None: its class."""
    return fn.readers.file(
        name=READER,
        files=folder.files,
        labels=folder.labels if numbers is None else list(numbers),
        shuffle_after_epoch=shuffle,
        pad_last_batch=True,  # what is filled up is cut off again; nothing of the next epoch is used up
    )


def random_crop(encoded: DataNode, size: int, device: str, smallest: float = SMALLEST) -> DataNode:
    """Decode a random part, from the share `smallest` of the area to all of it, and resize it to `size` × `size`."""
    area = {"random_area": [smallest, 1.0]}
    images = fn.decoders.image_random_crop(encoded, device=decoder(device), output_type=types.RGB, **area)
    return fn.resize(images, size=[size, size])


def random_window(encoded: DataNode, size: int, device: str) -> tuple[DataNode, Window]:
    """The same as `random_crop`, where it must be known which part it was."""
    image_shape = fn.peek_image_shape(encoded)
    anchor, shape = fn.random_crop_generator(image_shape, random_area=[SMALLEST, 1.0])
    options = {"axes": [0, 1], "device": decoder(device), "output_type": types.RGB}
    images = fn.decoders.image_slice(encoded, anchor, shape, **options)
    return fn.resize(images, size=[size, size]), Window(anchor, shape, image_shape)


def decoder(device: str) -> str:
    return "mixed" if device == "gpu" else "cpu"


def scalar(labels: DataNode, device: str) -> DataNode:
    """int64 scalars on the device of the images, which losses want; the reader gives int32 [1] on the CPU."""
    scalars = fn.cast(fn.squeeze(labels, axes=0), dtype=types.INT64)
    return scalars.gpu() if device == "gpu" else scalars
