"""From encoded images to images of one size."""

from __future__ import annotations

from typing import NamedTuple

from nvidia.dali import fn, types
from nvidia.dali.data_node import DataNode

SMALLEST = 0.08  # smallest share of an image's area in a random crop, as in ImageNet recipes
RESIZE_FOR_CROP = 256 / 224  # validation: shorter side before the centre crop, over the side of the crop


class Window(NamedTuple):
    """A crop of an image, in pixels: int32 [2] (top, left), int32 [2] (height, width), and the image's int64 [3]."""

    anchor: DataNode
    shape: DataNode
    image_shape: DataNode


def random_crop(encoded: DataNode, size: int, device: str, smallest: float = SMALLEST) -> tuple[DataNode, Window]:
    """Decode a random part, from the share `smallest` of the area to all of it, and resize it to `size` × `size`."""
    image_shape = fn.peek_image_shape(encoded)
    anchor, shape = fn.random_crop_generator(image_shape, random_area=[smallest, 1.0])
    images = _decode(encoded, anchor, shape, device)
    return fn.resize(images, size=[size, size]), Window(anchor, shape, image_shape)


def centre_crop(encoded: DataNode, size: int, device: str) -> DataNode:
    """Resize the shorter side to a little more than `size`, and cut `size` × `size` from the middle, as torchvision.

    It is one step, which makes only the pixels that are kept: the longer side of an image of 1 × 16,000 pixels would
    become 4 million pixels long, 3 GB.
    """
    shorter = round(size * RESIZE_FOR_CROP)
    return fn.resize_crop_mirror(whole_image(encoded, device), resize_shorter=shorter, crop=(size, size))


def whole_image(encoded: DataNode, device: str) -> DataNode:
    """Decode the whole image."""
    shape = fn.cast(fn.peek_image_shape(encoded)[0:2], dtype=types.INT32)
    return _decode(encoded, shape * 0, shape, device)


def _decode(encoded: DataNode, anchor: DataNode, shape: DataNode, device: str) -> DataNode:
    """Decode a part of each image, by a window in pixels that depends on a look at its header.

    It is always done so, because a file that is not an image may crash DALI's decoders, and the process with them, if
    the batch is large (seen with DALI 2.4). Here they wait for ``peek_image_shape``, which refuses such a file with an
    error.
    """
    options = {"axes": [0, 1], "device": "mixed" if device == "gpu" else "cpu", "output_type": types.RGB}
    return fn.decoders.image_slice(encoded, anchor, shape, **options)
