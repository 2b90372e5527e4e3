"""Checks of arguments. Every error names what came and what was expected; no pixel is read."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from dalimix.arrays import Array, array_module
from dalimix.methods import METHODS, Method
from dalimix.pixels import DTYPES, check_bytes, check_units, image_dtype, per_channel
from dalimix.support import bfloat16
from dalimix.support.numbers import is_number, is_pair, is_truth, is_whole

UINT8, FLOAT32 = DTYPES["uint8"], DTYPES["float32"]
NAMES = tuple(DTYPES)
OF_NUMPY = tuple(name for name in NAMES if name != bfloat16.NAME)  # and of CuPy and DALI
MAX_SIDE = 1 << 24  # of an image in pixels; the kernels' products with the sides of a grid stay below 2^31
MAX_CLASSES = 1 << 24
Layout = Literal["HWC", "CHW"]
LAYOUTS = ("HWC", "CHW")
MOST_PLAIN = 4  # channels of an ordinary image
SMALLEST, LONGEST_STRIP = 8, 16  # pixels along its shorter side; largest ratio of its sides


def counts(**values: Any) -> None:
    _whole(values, 1)


def count(name: str, value: Any, most: int) -> int:
    """Check a whole number from 1 to `most`, and return it as Python's int."""
    counts(**{name: value})
    if value > most:
        raise ValueError(f"{name} must be at most {most}, got {value}")
    return int(value)


def numbers(**values: Any) -> None:
    _whole(values, 0)


def _whole(values: dict[str, Any], lowest: int) -> None:
    for name, value in values.items():
        if not is_whole(value) or value < lowest:
            raise ValueError(f"{name} must be a whole number from {lowest}, got {value!r}")


def batch(name: str, array: Array, size: int) -> None:
    if len(array) != size:
        raise ValueError(f"{name} has {len(array)} entries but the batch has {size} images")


def kind(name: str, value: object, kinds: Any, expected: str) -> None:
    if not isinstance(value, kinds):
        raise TypeError(f"{name} must be {expected}, got {value!r:.100}")


def instance(name: str, value: object, wanted: type, example: str) -> None:
    if not isinstance(value, wanted):
        raise TypeError(f"{name} must be a dalimix.{wanted.__name__}, such as {example}, got {value!r}")


def flag(name: str, value: Any) -> bool:
    """Check that a value is True or False, not merely truthy, and return it as Python's bool."""
    if not is_truth(value):
        raise TypeError(f"{name} must be True or False, got {value!r:.100}")
    return bool(value)


def layout(given: Any, name: str = "layout") -> Layout:
    if not isinstance(given, str) or given not in LAYOUTS:
        raise ValueError(f"{name} must be one of {LAYOUTS}, got {given!r}")
    return "CHW" if given == "CHW" else "HWC"


def layouts(**given: Any) -> None:
    """Check that each value is a layout of images, or None."""
    for name, value in given.items():
        if value is not None:
            layout(value, name)


def method(given: object) -> None:
    if not isinstance(given, Method):
        raise TypeError(f"method must be an instance of a mixing method, such as dalimix.CutMix(), got {given!r}")
    if getattr(given, "name", None) not in METHODS:
        raise TypeError(f"method must be one that can be planned, such as dalimix.CutMix(), got {given!r}")


def heatmaps_wanted(by: Method, given: bool, expected: str) -> None:
    """Check that heatmaps are given if the method needs them, and only if it reads them.

    `expected` says what to give if they are missing.
    """
    if given and not by.reads_heatmaps:
        raise ValueError(f"{type(by).__name__} reads no heatmaps, but heatmaps were given")
    if by.needs_heatmaps and not given:
        raise ValueError(f"{_reader(by)} needs heatmaps: {expected}")


def _reader(method: Method) -> str:
    """The name of the method that needs heatmaps, also if it is inside another one."""
    inside = [_reader(member) for member in method.members if member.needs_heatmaps]
    return f"{inside[0]} in {type(method).__name__}" if inside else type(method).__name__


def heatmaps(by: Method, given: Array | None, size: int) -> Array | None:
    """Check heatmaps, and return them as the kernels read them: float32 and contiguous."""
    heatmaps_wanted(by, given is not None, f"heatmaps=[{size}, h, w], floating, one map for each image")
    if given is None:
        return None
    xp = array_module(given, "heatmaps")
    if given.dtype.kind != "f":
        raise TypeError(f"heatmaps must be floating, got {given.dtype}{_floats('heatmaps', given.dtype)}")
    if given.ndim != 3 or 0 in given.shape:
        raise ValueError(f"heatmaps must be [{size}, h, w], one map for each image, got {list(given.shape)}")
    batch("heatmaps", given, size)
    _of_several_cells(by, tuple(given.shape[1:]))
    _heatmap_grid(by, tuple(given.shape[1:]))
    with np.errstate(over="ignore"):  # too large for float32 is infinity
        return xp.ascontiguousarray(given, "float32")


def _of_several_cells(by: Method, got: tuple[int, ...]) -> None:
    if by.needs_heatmaps and got == (1, 1):
        remedy = "take those of a layer before the pooling"
        raise ValueError(f"heatmaps are of 1 × 1 cell, which says nothing about places: {remedy}")


def _heatmap_grid(by: Method, got: tuple[int, ...]) -> None:
    if by.heatmap_grid in (None, got):
        return
    name = _bound_to_a_grid(by)
    remedy = f"choose {name}(grid={got}), or heatmaps of its grid"
    raise ValueError(f"{name} needs heatmaps of its grid {by.heatmap_grid}, got heatmaps of {got}: {remedy}")


def _bound_to_a_grid(method: Method) -> str:
    """The name of the method that takes heatmaps on one grid only."""
    inside = [_bound_to_a_grid(member) for member in method.members if member.heatmap_grid is not None]
    return inside[0] if inside else type(method).__name__


def size(given: int | Sequence[int], name: str = "size") -> tuple[int, int]:
    """Return (H, W) from one number or two."""
    pair: Any = (given, given) if is_whole(given) else given
    if not is_pair(pair) or not all(is_whole(n) and 1 <= n <= MAX_SIDE for n in pair):
        expected = f"(H, W) in pixels, whole numbers from 1 to {MAX_SIDE}, or one for both"
        raise ValueError(f"{name} must be {expected}, got {given!r}")
    return int(pair[0]), int(pair[1])


def images(array: Array, layout_name: str) -> None:
    layout(layout_name)
    array_module(array, "images")
    if array.dtype not in OF_NUMPY and not bfloat16.is_bfloat16(array.dtype):
        remedy = _floats("images", array.dtype) or ": bytes are images.astype('uint8')"
        raise TypeError(f"images must have dtype {', '.join(NAMES)}, got {array.dtype}{remedy}")
    if array.ndim != 4 or 0 in array.shape:
        remedy = batch_remedy(array.shape, layout_name)
        raise ValueError(f"images must be a batch [B, {', '.join(layout_name)}], got shape {array.shape}{remedy}")
    proper_layout(array.shape, layout_name)


def batch_remedy(shape: Sequence[int], layout_name: str) -> str:
    """What to do with images of this shape, which are not a batch."""
    if len(shape) == 4 and not shape[0]:
        return ": leave batches without images out"
    if len(shape) != 3 or 0 in shape:
        return ""
    grey = "images[:, None]" if layout_name == "CHW" else "images[..., None]"
    return f": one image alone is images[None], grey images are {grey}"


def _floats(name: str, dtype: np.dtype) -> str:
    """The conversion to suggest for floats of another library, width or byte order; empty for other dtypes."""
    floating = dtype.kind == "f" or "float" in dtype.name
    return f": convert with {name}.astype('float32')" if floating else ""


def proper_layout(shape: Sequence[int], layout_name: str) -> None:
    """Raise a ValueError if a batch of images of this shape looks like one of the other layout."""
    if seems_other(shape, layout_name):
        other = "CHW" if layout_name == "HWC" else "HWC"
        raise ValueError(f"images {list(shape)} look like {other}, but layout is {layout_name!r}")


def seems_other(shape: Sequence[int], layout_name: str) -> bool:
    """Whether there are many channels where the other layout would mean few.

    Feature maps such as [B, 64, 3, 3] or [B, 512, 7, 4] do not count: in the other layout they would be tiny or strips.
    """
    channels, *sides = _channels_and_sides(shape, layout_name)
    others, *other_sides = _channels_and_sides(shape, "CHW" if layout_name == "HWC" else "HWC")
    are_pictures = min(other_sides) >= SMALLEST and max(other_sides) <= LONGEST_STRIP * min(other_sides)
    return channels > MOST_PLAIN >= others and max(sides) > MOST_PLAIN and are_pictures


def _channels_and_sides(shape: Sequence[int], layout_name: str) -> list[int]:
    return [shape[1 + layout_name.index(axis)] for axis in "CHW"]


def image_size(array: Array, layout_name: str) -> tuple[int, int]:
    """(H, W) of a batch of images."""
    return array.shape[1 + layout_name.index("H")], array.shape[1 + layout_name.index("W")]


def output_dtype(dtype: Any, of_images: np.dtype, mean: Any, std: Any) -> np.dtype:
    """Return the dtype in which the output is kept, from that of the images; `dtype` is what is wanted, or None."""
    if dtype is None:
        return FLOAT32 if of_images == UINT8 and not (mean is None and std is None) else of_images
    check_bytes(dtype, mean, std)
    return image_dtype(dtype)


def mirror(array: Array | None, size: int) -> Array | None:
    if array is None:
        return None
    array_module(array, "mirror")
    if array.dtype.kind not in "iub":
        raise TypeError(f"mirror must be integer or bool, got {array.dtype}")
    if array.shape not in ((size,), (size, 1)):
        raise ValueError(f"mirror must be [{size}], one entry per image, got shape {array.shape}")
    return array.reshape(size)


def scaling(
    mean: Any, std: Any, channels: int, dtype: np.dtype | None = None
) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Return (x − mean) / std as x·scale + bias per channel, or None. `dtype` is that of the images, if known."""
    if mean is None and std is None:
        return None
    means = per_channel("mean", 0.0 if mean is None else mean, channels)
    stds = per_channel("std", 1.0 if std is None else std, channels)
    return _scale_and_bias(means, stds, dtype)


@lru_cache(maxsize=64)
def _scale_and_bias(
    means: tuple[float, ...], stds: tuple[float, ...], dtype: np.dtype | None
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if not np.isfinite(means).all():
        raise ValueError(f"mean must be finite, got {means}")
    if not (np.isfinite(stds).all() and min(stds) > 0):
        raise ValueError(f"std must be finite and above 0, got {stds}")
    if dtype == UINT8:
        check_units(dtype, means, stds)
    scale, bias = tuple(1 / s for s in stds), tuple(-m / s for m, s in zip(means, stds, strict=True))
    if max(map(abs, scale + bias)) > float(np.finfo(np.float32).max):
        raise ValueError(f"mean and std must be numbers that float32 can divide, got {means} and {stds}")
    return scale, bias


def labels(array: Array, size: int) -> Array:
    """Check labels: integer [B], or floating [B, C]."""
    array_module(array, "labels")
    if array.ndim:
        batch("labels", array, size)
    if array.dtype.kind in "iu" and array.shape in ((size,), (size, 1)):
        return _native(array).reshape(size)
    if array.dtype.kind == "f" and array.ndim == 2 and array.shape[1]:
        return _native(array)
    raise ValueError(
        f"labels must be integer [{size}] or floating [{size}, classes], got {array.dtype} {list(array.shape)}"
        f"{_labels_remedy(array)}"
    )


def _labels_remedy(labels: Array) -> str:
    if labels.dtype.kind in "USO":
        return ": number the classes, as numpy.unique(labels, return_inverse=True) does"
    if labels.ndim == 1 and labels.dtype.kind == "f":
        return ": class indices are labels.astype('int64')"
    if labels.ndim == 2 and labels.dtype.kind in "iub":
        return ": several classes an image are labels.astype('float32')"
    return _floats("labels", labels.dtype) if labels.dtype.kind != "f" else ""


def _native(array: Array) -> Array:
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def num_classes(classes: int | None, labels: Array) -> int:
    if labels.ndim == 2:
        if classes is not None and class_count(classes) != labels.shape[1]:
            raise ValueError(f"num_classes is {classes} but labels has {labels.shape[1]} columns")
        return int(labels.shape[1])
    if classes is None:
        raise ValueError("num_classes is missing: integer labels need it")
    return class_count(classes)


def class_count(classes: int) -> int:
    return count("num_classes", classes, MAX_CLASSES)


def form(name: str, smoothing: float) -> float:
    """Check the form of the targets, and return the smoothing as Python's float: NumPy's small ones are coarse."""
    if not isinstance(name, str) or name not in ("dense", "pair"):
        raise ValueError(f"form must be 'dense' or 'pair', got {name!r}")
    if not is_number(smoothing):
        raise TypeError(f"smoothing must be a number in [0, 1], got {smoothing!r}")
    if not 0 <= smoothing <= 1:
        raise ValueError(f"smoothing must be in [0, 1], got {smoothing}")
    if name == "pair" and smoothing:
        raise ValueError("smoothing needs form='dense'; with pairs the loss smooths")
    return float(smoothing)
