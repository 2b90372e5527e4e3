"""From encoded images to images of one size."""

from __future__ import annotations

from typing import NamedTuple

from nvidia.dali import fn, types
from nvidia.dali.data_node import DataNode

from dali_ops.loader.reading.crops import Pair, Size, centre_region, random_window

SCALE, RATIO, CROP = (0.08, 1.0), (3 / 4, 4 / 3), 0.875  # as in ImageNet recipes
INTERPOLATIONS = {
    "nearest": types.INTERP_NN,
    "bilinear": types.INTERP_LINEAR,
    "bicubic": types.INTERP_CUBIC,
    "lanczos": types.INTERP_LANCZOS3,
}


class Window(NamedTuple):
    """A crop of an image, in pixels: int32 [2] (top, left), int32 [2] (height, width), and the image's int64 [3]."""

    anchor: DataNode
    shape: DataNode
    image_shape: DataNode


def random_crop(
    encoded: DataNode,
    size: Size,
    device: str,
    *,
    scale: Pair = SCALE,
    ratio: Pair = RATIO,
    interpolation: str = "bilinear",
) -> tuple[DataNode, Window]:
    """Decode a random part, of a share of the area and of a ratio of width to height, and resize it."""
    image_shape = fn.peek_image_shape(encoded)
    anchor, shape = random_window(image_shape, scale, ratio)
    images = _decode(encoded, anchor, shape, device)
    resized = fn.resize(images, size=list(size), interp_type=INTERPOLATIONS[interpolation])
    return resized, Window(anchor, shape, image_shape)


def centre_crop(
    encoded: DataNode, size: Size, device: str, *, crop: float = CROP, interpolation: str = "bilinear"
) -> DataNode:
    """Resize images to a little more than `size`, and cut `size` from the middle, as torchvision and timm do it.

    It is one step, which makes only the pixels that are kept: the longer side of an image of 1 × 16,000 pixels would
    become 4 million pixels long, 3 GB.
    """
    start, end = centre_region(fn.peek_image_shape(encoded), size, crop)
    options = {"size": list(size), "interp_type": INTERPOLATIONS[interpolation]}
    return fn.resize(whole_image(encoded, device), roi_start=start, roi_end=end, **options)


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
