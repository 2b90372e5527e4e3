"""What a loader does to the images, for training or for evaluation."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal

from dali_ops.imagenet import IMAGENET_MEAN, IMAGENET_STD
from dali_ops.keywords import part_of_loader
from dali_ops.operators.augment import Augment
from dali_ops.operators.pixels import PerChannel
from dalimix import Erase, checks
from dalimix.pixels import check_bytes, check_noise, image_dtype, per_channel

CHANNELS = 3  # images are decoded to RGB
MOST_PIXELS = 1 << 14  # on a side
Layout = Literal["CHW", "HWC", "channels_last"]


@dataclass(frozen=True)
class Transform:
    """What `Train` and `Eval` have in common. Each value is kept in one form, so that equal settings compare equal."""

    size: int = 224
    _: KW_ONLY
    mean: PerChannel = IMAGENET_MEAN
    std: PerChannel = IMAGENET_STD
    dtype: Any = "float32"
    layout: Layout = "CHW"

    def __post_init__(self) -> None:
        forms = {"size": _side(self.size), "dtype": str(image_dtype(self.dtype)), "layout": _layout(self.layout)}
        forms |= {name: _per_channel(name, getattr(self, name)) for name in ("mean", "std")}
        for name, value in forms.items():
            object.__setattr__(self, name, value)
        checks.scaling(self.mean, self.std, CHANNELS, self._source_dtype)
        check_bytes(self.dtype, self.mean, self.std)

    @property
    def _source_dtype(self) -> Any:
        """The dtype of the images that are normalised; None where only the pipeline will know."""
        return checks.UINT8

    @property
    def channels_last(self) -> bool:
        """Whether images come as HWC and are shown to torch as CHW."""
        return self.layout == "channels_last"

    @property
    def normalise(self) -> dict[str, Any]:
        """The keywords of these fields, as ``fn.crop_mirror_normalize`` and `dali_ops.mix` take them."""
        layout = "CHW" if self.layout == "CHW" else "HWC"
        return {"mean": self.mean, "std": self.std, "dtype": dali_type(self.dtype), "output_layout": layout}


@part_of_loader("transform")
@dataclass(frozen=True)
class Train(Transform):
    """For training: a random crop of 8 to 100 percent of the area, resized; a random flip; shuffled in every epoch.

    Args:
        size: side of the square images in pixels, 16,384 at most.
        augment: ``augment(images)``, called when the pipeline is made, with the node of cropped images, uint8
            [H, W, C]; it returns a node of the same shape, uint8 or floating, in the units of mean and std: e.g. that
            of ``rand_augment`` in ``nvidia.dali.auto_aug``. The function must be written in a file, since DALI reads
            its source. The model of a provider sees what it returns. With a `HeatmapStore` it should not move pixels.
        erase: random erasing, such as ``dalimix.Erase(prob=0.25)``, of every image as the last step before it is mixed;
            labels stay.
        mean: per channel, in units of pixels 0 to 255, or of what `augment` returns; one number, or a sequence, array
            or tensor.
        std: likewise.
        dtype: of the images: ``"float32"``, ``"float16"`` or ``"uint8"``, by any library's name.
        layout: ``"CHW"``, ``"HWC"``, or ``"channels_last"`` for [B, C, H, W] in ``torch.channels_last``, which costs
            nothing.

    Raises:
        TypeError, ValueError: an argument is not as described, or mean and std are in other units than the images.

    Examples:
        >>> transform = Train(160, dtype="float16", layout="channels_last")
        >>> transform.size, transform.dtype
        (160, 'float16')
        >>> Train(160, mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])
        Traceback (most recent call last):
        ValueError: mean and std must be in the units of the images, ...: multiply both by 255
    """

    _: KW_ONLY
    augment: Augment | None = None
    erase: Erase | None = None

    def __post_init__(self) -> None:
        if self.erase is not None:
            checks.instance("erase", self.erase, Erase, "dalimix.Erase(prob=0.25)")
            check_noise(self.erase.fill, checks.FLOAT32, True, image_dtype(self.dtype))
        if self.augment is not None and not is_function(self.augment):
            raise ValueError(f"augment must be a function from images to images, got {self.augment!r}")
        super().__post_init__()

    @property
    def _source_dtype(self) -> Any:
        return checks.UINT8 if self.augment is None else None


@part_of_loader("transform")
@dataclass(frozen=True)
class Eval(Transform):
    """For evaluation: the centre of each image, in order, without mixing.

    The shorter side is resized to 256 / 224 of `size`, and the middle is cut out, as torchvision does it.

    Args:
        size, mean, std, dtype, layout: as in `Train`.

    Raises:
        TypeError, ValueError: an argument is not as described, or mean and std are in other units than bytes.

    Examples:
        >>> loader = ImageFolderLoader(folder, batch_size=8, transform=Eval(32))
        >>> [labels.tolist() for images, labels in loader]
        [[0, 0, 0, 0, 1, 1, 1, 1], [2, 2, 2, 2]]
        >>> loader.close()
    """


def _side(size: Any) -> int:
    if isinstance(size, (tuple, list)):
        raise TypeError(f"size must be one whole number, the side of square images in pixels, got {size!r}: "
                        "images that are not square are not made yet")  # fmt: skip
    return checks.count("size", size, MOST_PIXELS)


def _layout(given: Any) -> str:
    known = "CHW", "HWC", "channels_last"
    if not isinstance(given, str) or given not in known:
        raise ValueError(f"layout must be one of {known}, got {given!r}")
    return str(given)


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
