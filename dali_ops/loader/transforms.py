"""What a loader does to the images, for training or for evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal

from dali_ops.imagenet import IMAGENET_MEAN, IMAGENET_STD
from dali_ops.keywords import part_of_loader
from dali_ops.loader.augmentations import checked_name
from dali_ops.loader.reading.crops import Pair, Size
from dali_ops.loader.reading.decoding import CROP, INTERPOLATIONS, RATIO, SCALE
from dali_ops.operators.augment import Augment
from dali_ops.operators.pixels import PerChannel
from dalimix import Erase, checks
from dalimix.pixels import check_bytes, check_erase, dtype_name, per_channel
from dalimix.support.bfloat16 import NAME as BFLOAT16
from dalimix.support.numbers import is_number, is_pair

CHANNELS = 3  # images are decoded to RGB
MOST_PIXELS = 1 << 14  # on a side
LAYOUTS = ("CHW", "HWC", "channels_last")
RATIOS = (0.01, 100.0)  # of width to height, beyond which crops are lines
SMALLEST_CROP = 0.01  # share of the sides that `Eval` keeps
Layout = Literal["CHW", "HWC", "channels_last"]
Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]


@dataclass(frozen=True)
class Transform:
    """What `Train` and `Eval` have in common. Each value is kept in one form, so that equal settings compare equal."""

    size: int | Sequence[int] = 224
    _: KW_ONLY
    interpolation: Interpolation = "bilinear"
    mean: PerChannel = IMAGENET_MEAN
    std: PerChannel = IMAGENET_STD
    dtype: Any = "float32"
    layout: Layout = "CHW"

    def __post_init__(self) -> None:
        self._keep(size=_size(self.size), dtype=dtype_name(self.dtype))
        self._keep(layout=_one_of("layout", self.layout, LAYOUTS))
        self._keep(interpolation=_one_of("interpolation", self.interpolation, tuple(INTERPOLATIONS)))
        self._keep(mean=_per_channel("mean", self.mean), std=_per_channel("std", self.std))
        checks.scaling(self.mean, self.std, CHANNELS, self._source_dtype)
        check_bytes(self.dtype, self.mean, self.std)

    def _keep(self, **values: Any) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @property
    def sides(self) -> Size:
        """Height and width of the images in pixels."""
        return (self.size, self.size) if isinstance(self.size, int) else (self.size[0], self.size[1])

    @property
    def _source_dtype(self) -> Any:
        """The dtype of the images that are normalised; None where only the pipeline will know."""
        return checks.UINT8

    @property
    def channels_last(self) -> bool:
        """Whether images come as HWC and are shown to torch as CHW."""
        return self.layout == "channels_last"

    @property
    def in_bits(self) -> bool:
        """Whether images come as int16, the bits of bfloat16, for which DALI has no type."""
        return bool(self.dtype == BFLOAT16)

    @property
    def normalise(self) -> dict[str, Any]:
        """The keywords of these fields, as `dali_ops.mix` takes them."""
        layout = "CHW" if self.layout == "CHW" else "HWC"
        return {"mean": self.mean, "std": self.std, "dtype": self.dtype, "output_layout": layout}


@part_of_loader("transform")
@dataclass(frozen=True)
class Train(Transform):
    """For training: a random crop, resized; a random flip; shuffled in every epoch.

    Crops are torchvision's ``RandomResizedCrop``: up to ten times an area and a ratio are drawn, until the window fits;
    if none does, it is the largest one. (Unlike torchvision's, it may then lie anywhere if the range of ratios is wide,
    which shows in images four times as long as wide.) Pixels are those of its ``resized_crop`` with ``antialias=True``,
    to a unit of rounding, but for a rim of three pixels, where DALI repeats the edge of the image; ``"nearest"`` is its
    ``NEAREST_EXACT``, but for pixels that lie exactly between two.

    Args:
        size: height and width in pixels; one number for square images. 16,384 at most.
        scale: smallest and largest share of the area that a crop has.
        ratio: smallest and largest ratio of its width to its height, before it is resized. For images that are not
            square, give e.g. ``(3/4 * W / H, 4/3 * W / H)`` to keep the distortion the same.
        interpolation: ``"nearest"``, ``"bilinear"``, ``"bicubic"`` or ``"lanczos"``; all but the first antialiased.
        flip: probability that an image is flipped from left to right.
        augment: what else happens to the cropped images. A name: ``"rand-m9-n2"``, with any magnitude m from 0 to 10
            and any number n of operations, as timm writes its RandAugment (arXiv 1909.13719), also with ``-mstd0.5``,
            ``-inc1`` and ``-p0.5``; ``"auto"``, AutoAugment's policy for ImageNet (arXiv 1805.09501); ``"trivial"``,
            TrivialAugmentWide (arXiv 2103.10158); ``"three"``, DeiT III's 3-Augment (arXiv 2204.07118). They are made
            of DALI's operators. Or a function ``augment(images)``, called when the pipeline is made, with the node of
            cropped images, uint8 [H, W, C]; it returns a node of the same shape, uint8 or floating, in the units of
            mean and std. The function must be written in a file, since DALI reads its source. The model of a provider
            sees what it returns. With a `HeatmapStore` it should not move pixels.
        erase: random erasing, such as ``dalimix.Erase(prob=0.25)``, of every image as the last step before it is mixed;
            labels stay.
        mean: per channel, in units of pixels 0 to 255, or of what the function `augment` returns; one number, or a
            sequence, array or tensor.
        std: likewise.
        dtype: of the images: ``"float32"``, ``"float16"``, ``"bfloat16"`` or ``"uint8"``, by any library's name.
        layout: ``"CHW"``, ``"HWC"``, or ``"channels_last"`` for [B, C, H, W] in ``torch.channels_last``, which costs
            nothing.

    Raises:
        TypeError, ValueError: an argument is not as described, or mean and std are in other units than the images.

    Examples:
        >>> deit = Train((160, 288), scale=(0.35, 1.0), interpolation="bicubic", augment="rand-m9-n2-mstd0.5-inc1")
        >>> deit.size, deit.ratio, deit.flip
        ((160, 288), (0.75, 1.3333333333333333), 0.5)
        >>> Train(160, mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])
        Traceback (most recent call last):
        ValueError: mean and std must be in the units of the images, ...: multiply both by 255
    """

    _: KW_ONLY
    scale: Pair = SCALE
    ratio: Pair = RATIO
    flip: float = 0.5
    augment: Augment | str | None = None
    erase: Erase | None = None

    def __post_init__(self) -> None:
        self._keep(scale=_range("scale", self.scale, 0.0, 1.0), ratio=_range("ratio", self.ratio, *RATIOS))
        self._keep(flip=_share("flip", self.flip, 0.0))
        if isinstance(self.augment, str):
            self._keep(augment=checked_name(self.augment))
        elif self.augment is not None and not is_function(self.augment):
            raise ValueError("augment must be a function from images to images, or a name such as 'rand-m9-n2', "
                             f"got {self.augment!r}")  # fmt: skip
        check_erase(self.erase, self.dtype)
        super().__post_init__()

    @property
    def own_augment(self) -> Augment | None:
        """The user's function, whose images nobody knows before they come."""
        return None if isinstance(self.augment, str) else self.augment

    @property
    def _source_dtype(self) -> Any:
        return checks.UINT8 if self.own_augment is None else None


@part_of_loader("transform")
@dataclass(frozen=True)
class Eval(Transform):
    """For evaluation: the centre of each image, in order, without mixing.

    Square images: the shorter side becomes ⌊size / crop⌋, and the longer one is rounded down, as torchvision's
    ``Resize`` does it. Others: both sides are at least ⌊side / crop⌋, and the longer one is rounded to the nearest, as
    timm's ``ResizeKeepRatio`` does it. The middle is torchvision's ``CenterCrop``: offsets are rounded, halves to even.

    Args:
        crop: share of the resized image's sides that is kept, 0.01 to 1; timm's ``crop_pct``. The default resizes to
            256 for 224.
        size, interpolation, mean, std, dtype, layout: as in `Train`.

    Raises:
        TypeError, ValueError: an argument is not as described, or mean and std are in other units than bytes.

    Examples:
        >>> loader = ImageFolderLoader(folder, batch_size=8, transform=Eval(32, crop=1.0))
        >>> [labels.tolist() for images, labels in loader]
        [[0, 0, 0, 0, 1, 1, 1, 1], [2, 2, 2, 2]]
        >>> loader.close()
    """

    _: KW_ONLY
    crop: float = CROP

    def __post_init__(self) -> None:
        self._keep(crop=_share("crop", self.crop, SMALLEST_CROP))
        super().__post_init__()


def _size(given: Any) -> int | Size:
    """One number for a square, (height, width) else."""
    if not isinstance(given, (tuple, list)):
        return checks.count("size", given, MOST_PIXELS)
    if len(given) != 2:
        raise ValueError(f"size must be one whole number or (height, width), in pixels, got {given!r}")
    height, width = (checks.count("size", side, MOST_PIXELS) for side in given)
    return height if height == width else (height, width)


def _one_of(name: str, given: Any, known: tuple[str, ...]) -> str:
    if not isinstance(given, str) or given not in known:
        raise ValueError(f"{name} must be one of {known}, got {given!r}")
    return str(given)


def _range(name: str, given: Any, lowest: float, highest: float) -> Pair:
    """Check the ends of a range within another one."""
    if is_pair(given) and all(map(is_number, given)) and given[1] > 0:
        low, high = map(float, given)
        if lowest <= low <= high <= highest:
            return low, high
    raise ValueError(f"{name} must be two numbers, the smallest and the largest, from {lowest:g} to {highest:g}, "
                     f"got {given!r}")  # fmt: skip


def _share(name: str, given: Any, lowest: float) -> float:
    if not is_number(given) or not lowest <= given <= 1:
        raise ValueError(f"{name} must be a number from {lowest:g} to 1, got {given!r}")
    return float(given)


def _per_channel(name: str, given: Any) -> tuple[float, ...]:
    """Check one number, or one per channel. None is refused: it means nothing in DALI, and ImageNet's elsewhere."""
    if given is None:
        raise TypeError(f"{name} must be one number, or one per channel, got None: "
                        "leave it out for that of ImageNet, or give mean=0 and std=1 to normalise nothing")  # fmt: skip
    return per_channel(name, given, CHANNELS)


def is_function(value: Any) -> bool:
    """Whether the value can be called and is not a class, which would only make an object."""
    return callable(value) and not isinstance(value, type)


def dali_type(name: str) -> Any:
    """Return DALI's type of this name."""
    from nvidia.dali import types

    return {"float32": types.FLOAT, "float16": types.FLOAT16, "uint8": types.UINT8}[name]
