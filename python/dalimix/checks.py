"""What callers may hand in. Every check names what came and what was expected, and reads no pixel."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from dalimix.backend import Array, array_module
from dalimix.methods import Method
from dalimix.methods.base import is_number, is_whole
from dalimix.pixels import image_dtype, per_channel

if TYPE_CHECKING:
    from dalimix.draws import Draws
    from dalimix.mix_plan import MixPlan

UINT8, INT32, UINT32, FLOAT32 = (np.dtype(name) for name in ("uint8", "int32", "uint32", "float32"))
DTYPES = (UINT8, np.dtype("float16"), FLOAT32)  # of images
NAMES = tuple(map(str, DTYPES))
LAYOUTS = ("HWC", "CHW")
PLAN_FIELDS: tuple[tuple[str, np.dtype, tuple[int, ...]], ...] = (
    ("partner", INT32, ()),
    ("weight", FLOAT32, (2,)),
    ("blend", FLOAT32, ()),
    ("box", INT32, (4,)),
    ("shift", INT32, (2,)),
)


def counts(**values: Any) -> None:
    _whole(values, 1)


def numbers(**values: Any) -> None:
    _whole(values, 0)


def _whole(values: dict[str, Any], lowest: int) -> None:
    for name, value in values.items():
        if not is_whole(value) or value < lowest:
            raise ValueError(f"{name} must be a whole number from {lowest}, got {value!r}")


def batch(name: str, array: Array, size: int) -> None:
    if len(array) != size:
        raise ValueError(f"{name} has {len(array)} entries but images has batch size {size}")


def layout(name: str) -> str:
    if name not in LAYOUTS:
        raise ValueError(f"layout must be one of {LAYOUTS}, got {name!r}")
    return name


def method(given: object) -> None:
    if not isinstance(given, Method):
        raise TypeError(f"method must be an instance of a mixing method, such as dalimix.CutMix(), got {given!r}")


def heatmaps_wanted(by: Method, given: bool, expected: str) -> None:
    """`expected` is what to give, should there be none."""
    if given and not by.reads_heatmaps:
        raise ValueError(f"{type(by).__name__} reads no heatmaps, but heatmaps were given")
    if by.needs_heatmaps and not given:
        raise ValueError(f"{_reader(by)} needs heatmaps: {expected}")


def _reader(method: Method) -> str:
    """Which method it is that needs heatmaps."""
    inside = [_reader(member) for member in method.members if member.needs_heatmaps]
    return f"{inside[0]} in {type(method).__name__}" if inside else type(method).__name__


def heatmaps(by: Method, given: Array | None, size: int) -> Array | None:
    """As the kernels read them: float32 and contiguous."""
    heatmaps_wanted(by, given is not None, f"heatmaps=[{size}, h, w], floating, one map for each image")
    if given is None:
        return None
    xp = array_module(given)
    if given.dtype.kind != "f":
        raise TypeError(f"heatmaps must be floating, got {given.dtype}")
    if given.ndim != 3 or 0 in given.shape:
        raise ValueError(f"heatmaps must be [{size}, h, w], one map for each image, got {list(given.shape)}")
    batch("heatmaps", given, size)
    _heatmap_grid(by, tuple(given.shape[1:]))
    with np.errstate(over="ignore"):  # too large for float32 is infinity
        return xp.ascontiguousarray(given, "float32")


def _heatmap_grid(by: Method, got: tuple[int, ...]) -> None:
    if by.heatmap_grid in (None, got):
        return
    name = _bound_to_a_grid(by)
    mend = f"choose {name}(grid={got}), or heatmaps of its grid"
    raise ValueError(f"{name} needs heatmaps of its grid {by.heatmap_grid}, got heatmaps of {got}: {mend}")


def _bound_to_a_grid(method: Method) -> str:
    """Which method it is that takes no heatmaps of another grid."""
    inside = [_bound_to_a_grid(member) for member in method.members if member.heatmap_grid is not None]
    return inside[0] if inside else type(method).__name__


def size(hw: tuple[int, int]) -> None:
    whole = isinstance(hw, (tuple, Sequence)) and len(hw) == 2 and all(isinstance(n, (int, np.integer)) for n in hw)
    if not whole or min(hw) < 1:
        raise ValueError(f"size must be (H, W) in pixels, whole numbers from 1, got {hw!r}")


def images(array: Array, layout_name: str) -> None:
    layout(layout_name)
    array_module(array)
    if array.dtype not in DTYPES:
        raise TypeError(f"images must have dtype {', '.join(NAMES)}, got {array.dtype}")
    if array.ndim != 4 or 0 in array.shape:
        raise ValueError(f"images must be a batch [B, {', '.join(layout_name)}], got shape {array.shape}")
    proper_layout(array.shape, layout_name)


def proper_layout(shape: Sequence[int], layout_name: str) -> None:
    """Of a batch of images: refuse many channels where the other layout would mean three or four."""
    other = "CHW" if layout_name == "HWC" else "HWC"
    if shape[1 + layout_name.index("C")] > 4 and shape[1 + other.index("C")] in (3, 4):
        raise ValueError(f"images {list(shape)} look like {other}, but layout is {layout_name!r}")


def image_size(array: Array, layout_name: str) -> tuple[int, int]:
    """(H, W) of a batch of images."""
    return array.shape[1 + layout_name.index("H")], array.shape[1 + layout_name.index("W")]


def plan_size(planned: tuple[int, int] | None, array: Array, layout_name: str) -> None:
    height, width = image_size(array, layout_name)
    if planned is not None and tuple(planned) != (height, width):
        raise ValueError(f"plan is for images of {tuple(planned)} pixels, but images are {(height, width)}")


def output_dtype(dtype: Any, of_images: np.dtype, normalised: bool) -> np.dtype:
    if dtype is None:
        return FLOAT32 if normalised and of_images == UINT8 else of_images
    return image_dtype(dtype)


def mirror(array: Array | None, size: int) -> Array | None:
    if array is None:
        return None
    array_module(array)
    if array.dtype.kind not in "iub":
        raise TypeError(f"mirror must be integer or bool, got {array.dtype}")
    if array.shape not in ((size,), (size, 1)):
        raise ValueError(f"mirror must be [{size}], one entry per image, got shape {array.shape}")
    return array.reshape(size)


def draws(method: Method, drawn: Draws) -> None:
    """Every array as the kernels read it."""
    size, name = len(drawn.partner), type(method).__name__
    _exact(f"{name} needs draws.partner", drawn.partner, INT32, (size,))
    _exact(f"{name} needs draws.uniform", drawn.uniform, FLOAT32, (size, method.uniforms + 1))
    if method.beta is not None:
        if drawn.lam is None:
            raise ValueError(f"{name} needs draws.lam of [{size}], got None")
        _exact(f"{name} needs draws.lam", drawn.lam, FLOAT32, (size,))
    if method.keyed:
        if drawn.key is None:
            raise ValueError(f"{name} needs draws.key of [{size}, 2], got None")
        _exact(f"{name} needs draws.key", drawn.key, UINT32, (size, 2))
    if len(drawn.members) != len(method.members):
        raise ValueError(f"draws are of {len(drawn.members)} methods, but {len(method.members)} are to be planned")
    for member, of_member in zip(method.members, drawn.members, strict=True):
        draws(member, of_member)


def plan(mix_plan: MixPlan) -> None:
    """Every array as the kernels read it."""
    size = len(mix_plan.partner)
    for field, dtype, rest in PLAN_FIELDS:
        _exact(f"plan.{field} must be", getattr(mix_plan, field), dtype, (size, *rest))
    if mix_plan.tokens is not None:
        _exact("plan.tokens must be", mix_plan.tokens, UINT8, (size, *mix_plan.tokens.shape[1:3]))


def _exact(what: str, array: Array, dtype: np.dtype, shape: tuple[int, ...]) -> None:
    """The kernels take the memory as it is: another type or stride would be read as something else."""
    array_module(array)
    if array.shape != shape:
        raise ValueError(f"{what} of {list(shape)}, got {list(array.shape)}")
    if array.dtype != dtype:
        raise TypeError(f"{what} of {dtype}, got {array.dtype}")
    if not array.flags.c_contiguous:
        raise ValueError(f"{what} contiguous, got strides {array.strides}")


def scaling(mean: Any, std: Any, channels: int) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """(x − mean) / std as x·scale + bias, per channel; None if neither is given."""
    if mean is None and std is None:
        return None
    means = per_channel("mean", 0.0 if mean is None else mean, channels)
    stds = per_channel("std", 1.0 if std is None else std, channels)
    return _scale_and_bias(means, stds)


@lru_cache(maxsize=64)
def _scale_and_bias(means: tuple[float, ...], stds: tuple[float, ...]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if not np.isfinite(means).all():
        raise ValueError(f"mean must be finite, got {means}")
    if not (np.isfinite(stds).all() and min(stds) > 0):
        raise ValueError(f"std must be finite and above 0, got {stds}")
    return tuple(1 / s for s in stds), tuple(-m / s for m, s in zip(means, stds, strict=True))


def labels(array: Array, size: int) -> Array:
    """Integer [B], or floating [B, C]."""
    array_module(array)
    if array.ndim:
        batch("labels", array, size)
    if array.dtype.kind in "iu" and array.shape in ((size,), (size, 1)):
        return array.reshape(size)
    if array.dtype.kind == "f" and array.ndim == 2:
        return array
    raise ValueError(
        f"labels must be integer [{size}] or floating [{size}, classes], got {array.dtype} {list(array.shape)}"
    )


def num_classes(classes: int | None, labels: Array) -> int:
    if labels.ndim == 2:
        if classes not in (None, labels.shape[1]):
            raise ValueError(f"num_classes is {classes} but labels has {labels.shape[1]} columns")
        return int(labels.shape[1])
    if classes is None:
        raise ValueError("num_classes is missing: integer labels need it")
    return class_count(classes)


def class_count(classes: int) -> int:
    if not isinstance(classes, (int, np.integer)) or classes < 1:
        raise ValueError(f"num_classes must be a whole number from 1, got {classes!r}")
    return int(classes)


def form(name: str, smoothing: float) -> None:
    if name not in ("dense", "pair"):
        raise ValueError(f"form must be 'dense' or 'pair', got {name!r}")
    if not is_number(smoothing):
        raise TypeError(f"smoothing must be a number in [0, 1], got {smoothing!r}")
    if not 0 <= smoothing <= 1:
        raise ValueError(f"smoothing must be in [0, 1], got {smoothing}")
    if name == "pair" and smoothing:
        raise ValueError("smoothing needs form='dense'; with pairs the loss smooths")
