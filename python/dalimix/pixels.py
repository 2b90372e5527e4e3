"""The numbers in images: their dtypes by any library's name, and the units of mean and std."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dalimix.erase import Erase
from dalimix.support import bfloat16
from dalimix.support.numbers import is_whole

DTYPES: dict[str, np.dtype] = {  # of images, as they are kept
    "uint8": np.dtype("uint8"),
    "float16": np.dtype("float16"),
    bfloat16.NAME: bfloat16.BITS,
    "float32": np.dtype("float32"),
}
ALIASES = {
    "fp16": "float16",
    "half": "float16",
    "bf16": bfloat16.NAME,
    "fp32": "float32",
    "float": "float32",
    "byte": "uint8",
}
HALF = float(np.finfo(np.float16).max)
MAX_CHANNELS = 1 << 20
SOME_OF_255 = 16  # no mean, std or value of images 0 … 1, or of normalised ones, is this large


def dtype_name(given: Any, name: str = "dtype") -> str:
    """Return the name of the dtype of images that `given` is: a string, or a dtype of NumPy, torch, CuPy or DALI.

    Args:
        given: e.g. ``"float16"``, ``"fp16"``, ``np.float16``, ``torch.float16`` or ``types.FLOAT16``.
        name: the argument's name, for the message.

    Raises:
        TypeError: images cannot have this dtype.

    Examples:
        >>> dtype_name("fp16"), dtype_name(np.uint8), dtype_name("bf16")
        ('float16', 'uint8', 'bfloat16')
    """
    called = _called(given)
    known = ALIASES.get(called, called)
    if known not in DTYPES:
        raise TypeError(f"{name} must be {', '.join(DTYPES)}, got {called or repr(given)}")
    return known


def image_dtype(given: Any, name: str = "dtype") -> np.dtype:
    """Return the dtype in which images of this dtype are kept: that of their bits for bfloat16, else their own.

    Args:
        given, name: as in `dtype_name`.

    Raises:
        TypeError: images cannot have this dtype.

    Examples:
        >>> image_dtype("fp16"), image_dtype(np.uint8), image_dtype("bf16")
        (dtype('float16'), dtype('uint8'), dtype('int16'))
    """
    return DTYPES[dtype_name(given, name)]


def _called(given: Any) -> str:
    """The name of the dtype in its library; empty if it is not a dtype."""
    given = getattr(given, "type_id", given)  # of DALI's dynamic mode
    library = type(given).__module__.partition(".")[0]
    if isinstance(given, str):
        return given
    if library in ("torch", "nvidia"):
        return str(given).rpartition(".")[2].lower()
    if isinstance(given, type) and issubclass(given, np.generic):
        return given.__name__
    return given.name if isinstance(given, np.dtype) else ""


def per_channel(name: str, given: Any, channels: int | None = None) -> tuple[float, ...]:
    """Return mean or std as a tuple of numbers, one or one per channel.

    Args:
        name: the argument's name, for the message.
        given: a number, or a list, tuple, array or tensor of them: [C], [1] or [C, 1, 1].
        channels: C; None: as many as are given.

    Raises:
        TypeError: `given` is not numbers.
        ValueError: there are neither one nor `channels` numbers; `channels` is not a count.

    Examples:
        >>> per_channel("mean", 5, channels=3)
        (5.0, 5.0, 5.0)
    """
    if channels is not None and not (is_whole(channels) and 1 <= channels <= MAX_CHANNELS):
        raise ValueError(f"channels must be a whole number from 1 to {MAX_CHANNELS}, got {channels!r}")
    try:
        array = np.asarray(given.tolist() if hasattr(given, "tolist") else given)
        if array.dtype.kind not in "iuf" or max(array.shape, default=1) != array.size or not array.size:
            raise ValueError
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"{name} must be one number, or one per channel, got {given!r}") from None
    values = tuple(float(number) + 0.0 for number in array.reshape(-1))  # no −0: it is another number, but the same key
    if channels is not None and len(values) not in (1, channels):
        raise ValueError(f"{name} has {len(values)} entries but images has {channels} channels")
    return values * channels if channels is not None and len(values) == 1 else values


def check_units(dtype: Any, mean: Any, std: Any) -> None:
    """Refuse mean and std of values 0 … 1 for bytes, which go from 0 to 255: the most common mistake.

    Args:
        dtype: of the images, as `dtype_name` takes it.
        mean, std: as `per_channel` takes them, or None.

    Raises:
        ValueError: one of them, or both, are in other units.
    """
    if dtype_name(dtype) != "uint8":
        return
    means, stds = _means_and_stds(mean, std)
    remedy = None
    if all(map(_contradict, means, stds)):
        remedy = "they contradict each other, give both in these units"
    elif _are_of_one(means, stds):
        remedy = "multiply both by 255"
    if remedy is not None:
        found = f"uint8 0 … 255, but mean is {mean} and std is {std}"
        raise ValueError(f"mean and std must be in the units of the images, {found}: {remedy}")


def check_values(images: Any, mean: Any, std: Any) -> bool:
    """Refuse mean and std that plainly do not fit the values of floating images.

    Values around 0 … 255 do not fit a std below 1. Values 0 … 1, or around 0 as they are after normalising, do not fit
    a mean or std of tens. What may be right passes: dark images, single highlights, numbers from 0 to 100 or to 1000,
    optical flow and other numbers around 0, NaN.

    Args:
        images: a floating array, or a tensor on the CPU without a gradient, of any shape, not empty.
        mean, std: as `per_channel` takes them, or None.

    Returns:
        Whether the images are bright enough to show their units; black is black in all of them.

    Raises:
        ValueError: mean and std are in other units.
    """
    means, stds = _means_and_stds(mean, std)
    lowest, highest = float(images.min()), float(images.max())
    remedy = _remedy(images, lowest, highest, means, stds)
    if remedy is not None:
        found = f"{lowest:.4g} … {highest:.4g}, but mean is {mean} and std is {std}"
        raise ValueError(f"mean and std must be in the units of the images, which have values {found}: {remedy}")
    return highest >= SOME_OF_255 if max(*means, *stds) >= SOME_OF_255 else highest > 0


def _remedy(
    images: Any, lowest: float, highest: float, means: tuple[float, ...], stds: tuple[float, ...]
) -> str | None:
    """What to do if mean and std are in other units; None if they may be right."""
    of_255, of_one = max(*means, *stds) >= SOME_OF_255, _are_of_one(means, stds)
    if _contradict_values(images, lowest, highest, means, stds):
        return "they contradict each other, give both in these units"
    if _is_normalised(images, lowest, highest) and (min(means) >= SOME_OF_255 or _is_far_below(lowest, means, stds)):
        return "give mean=0 and std=1 for images that are normalised already, or hand in the images as decoded"
    if of_255 and lowest >= 0 and 0.5 <= highest <= 1 and _is_of_one(images):
        return "divide both by 255, or multiply the images by it"
    if of_one and lowest >= -64 and 128 < highest <= 320 and float(images.mean()) > SOME_OF_255:  # resizing overshoots
        return "multiply both by 255"
    if of_one and min(means) > 0 and _spreads(images, stds):
        return "give those of these images, or divide the images by what white is in them"
    return None


def check_bytes(dtype: Any, mean: Any, std: Any) -> None:
    """Refuse uint8 for normalised images: of numbers around 0, few values would be left.

    Scaling and brightness windows pass, such as ``std=257`` for 16-bit images.

    Args:
        dtype: of the output, as `dtype_name` takes it; None: that of the images, or floating.
        mean, std: as `per_channel` takes them, or None.

    Raises:
        ValueError: black and white come out as numbers between -16 and 16, on both sides of 0.
    """
    if dtype is None or dtype_name(dtype) != "uint8":
        return
    pairs = zip(*_means_and_stds(mean, std), strict=True)
    if all(0 < m < 255 and m / s < SOME_OF_255 and (_white(m, s) - m) / s < SOME_OF_255 for m, s in pairs):
        raise ValueError(
            f"dtype is uint8, which has no place for normalised images, but mean is {mean} and std is {std}: "
            "give mean=0 and std=1, or dtype='float32'"
        )


def check_erase(given: Any, dtype: Any = None) -> None:
    """Refuse what is not random erasing, and numbers that have no place in the output.

    Args:
        given: an `Erase`, or None.
        dtype: of the output, by any library's name; None: not known yet.

    Raises:
        TypeError: it is something else.
        ValueError: it is noise, and the output is bytes; or its value is infinite in float16.
    """
    if given is None:
        return
    if not isinstance(given, Erase):
        raise TypeError(f"erase must be a dalimix.Erase, such as dalimix.Erase(prob=0.25), got {given!r}")
    if dtype is not None:
        check_noise(given.fill, DTYPES["float32"], True, image_dtype(dtype))


def check_noise(value: float | None, dtype: np.dtype, normalised: bool, output: np.dtype) -> None:
    """Refuse noise, which is standard normal, where numbers go from 0 to 255.

    Args:
        value: what is put in the place of erased pixels; None: noise.
        dtype: in which the images are kept, as from `image_dtype`.
        normalised: whether there is a mean or std.
        output: that of the output, likewise.

    Raises:
        ValueError: noise for uint8 output, or for uint8 images that are not normalised; or the value is infinite in
            float16.
    """
    if value is not None and output == DTYPES["float16"] and abs(value) > HALF:
        raise ValueError(f"erase has value={value}, which is infinite in float16: its largest number is {HALF:g}")
    if value is None and DTYPES["uint8"] in (output, output if normalised else dtype):
        where = "uint8 images are" if output == DTYPES["uint8"] else "images 0 … 255 are"
        raise ValueError(
            f"erase has value='noise', standard normal numbers, but {where} to come out: "
            "give mean and std and a floating dtype, or a value such as Erase(value=127)"
        )


def _white(mean: float, std: float) -> int:
    """The value of white in the units of a mean and a std."""
    return 1 if mean <= 1 and std < 1 else 255


def _is_normalised(images: Any, lowest: float, highest: float) -> bool:
    """Whether values lie around 0, and not only a few just below it, as resizing leaves dark images."""
    return -5 < lowest < -0.5 and 0 < highest < 5 and _share(images < -0.5) >= 0.1


def _is_far_below(lowest: float, means: tuple[float, ...], stds: tuple[float, ...]) -> bool:
    """Whether a value is so far below the means of values 0 … 1 that these cannot be its own.

    A mean and a std of 0.5 do not count: they only map 0 … 1 to -1 … 1.
    """
    if min(means) < 0 or not _are_of_one(means, stds):
        return False
    pairs = zip(means, stds, strict=True)
    return {*means, *stds} == {0.5} or lowest < min(m - 8 * s for m, s in pairs)


def _spreads(images: Any, stds: tuple[float, ...]) -> bool:
    """Whether the values vary hundreds of times as much as `stds` say."""
    return float(images.std()) > 100 * max(stds)


def _share(chosen: Any) -> float:
    """The share of the values that are chosen."""
    share: float = float(chosen.sum()) / max(1, math.prod(chosen.shape))
    return share


def _is_of_one(images: Any) -> bool:
    """Whether the values are 0 … 1 rather than dark bytes, which are 0 and 1 or, resized, mostly near 0."""
    return bool((images % 1).any()) and float(images.mean()) >= 0.1


def _are_of_one(means: tuple[float, ...], stds: tuple[float, ...]) -> bool:
    """Whether mean and std are those of values 0 … 1."""
    return max(means) <= 1 and (max(stds) < 1 or (max(stds) == 1 and 0 < max(means) < 1))


def _contradict(mean: float, std: float) -> bool:
    """Whether one is for values 0 … 1 and the other for 0 … 255. With a mean m of 0 … 255, no std exceeds √(255·m)."""
    return (0 < mean < 1 and std >= SOME_OF_255) or (mean >= SOME_OF_255 and std < 0.5)


def _contradict_values(
    images: Any, lowest: float, highest: float, means: tuple[float, ...], stds: tuple[float, ...]
) -> bool:
    """Whether mean and std contradict each other, and the images are not a narrow range around the mean."""
    if lowest < 0 or highest > 320 or not all(map(_contradict, means, stds)):
        return False
    return max(means) < 1 or _spreads(images, stds)


def by_channel(means: tuple[float, ...], stds: tuple[float, ...]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return means and stds of equal length.

    Raises:
        ValueError: they are for different numbers of channels.
    """
    channels = max(len(means), len(stds))
    if {len(means), len(stds)} - {1, channels}:
        raise ValueError(f"mean has {len(means)} entries but std has {len(stds)}")
    return means * (channels // len(means)), stds * (channels // len(stds))


def _means_and_stds(mean: Any, std: Any) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and std of every channel, of equal length."""
    means, stds = per_channel("mean", 0.0 if mean is None else mean), per_channel("std", 1.0 if std is None else std)
    return by_channel(means, stds)
