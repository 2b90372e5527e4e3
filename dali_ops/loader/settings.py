"""What a loader does to its images; all of it may change between two epochs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, is_dataclass, replace
from functools import partial
from typing import Any, Literal

from dali_ops.loader.feed import Feed
from dali_ops.loader.heatmap_sources import guide_for
from dali_ops.loader.outputs import Outputs
from dali_ops.loader.pipelines import training_pipeline, validation_pipeline
from dali_ops.operators.augment import Augment, as_raised
from dali_ops.operators.model_heatmaps import refuse_model
from dalimix import Method, Mixup, checks
from dalimix.heatmaps import HeatmapProvider, SnapshotHeatmap
from dalimix.pixels import check_bytes, image_dtype, per_channel
from dalimix.stores import HeatmapStore

PerChannel = float | Sequence[float]  # also arrays and tensors

CHANNELS = 3  # images are decoded to RGB
NO_MIXING = Mixup(prob=0.0)  # with targets in the form that mixing gives
FLAGS = ("heatmap_labels", "training", "channels_last", "keep_info")
MOST_PIXELS = 1 << 14  # on a side
ADDRESS = re.compile(" at 0x[0-9a-fA-F]+")  # in the words for an object that has none of its own
SWITCHES = ("method", "heatmaps", "heatmap_labels", "size", "smoothing")


@dataclass(frozen=True, kw_only=True)
class LoaderSettings:
    """The arguments of `dali_ops.Loader` of the same names, checked and each in one form.

    So two that mean the same are equal: mean and std are numbers, one per channel, and dtype is a name.
    """

    method: Method | None
    heatmaps: HeatmapProvider | HeatmapStore | None
    heatmap_labels: bool
    size: int
    training: bool
    device: str
    mean: PerChannel
    std: PerChannel
    dtype: Any
    output_layout: str
    channels_last: bool
    augment: Augment | None
    smoothing: float
    form: Literal["dense", "pair"]
    keep_info: bool

    def __post_init__(self) -> None:
        self._bring_to_one_form()
        if self.method is not None:
            checks.method(self.method)
        if self.method is not None and not self.training:
            raise ValueError("mixing is for training: with training=False, method must be None")
        if self.augment is not None and not (self.training and _is_function(self.augment)):
            raise ValueError(f"augment must be a function from images to images, for training; got {self.augment!r}")
        self._check_heatmaps()
        self._check_mixed_only()
        self._check_output()

    def _bring_to_one_form(self) -> None:
        checks.form(self.form, self.smoothing)
        checks.layout(self.output_layout, "output_layout")
        forms: dict[str, Any] = {name: checks.flag(name, getattr(self, name)) for name in FLAGS}
        forms |= {"form": str(self.form), "output_layout": str(self.output_layout), "smoothing": float(self.smoothing)}
        forms |= {"size": _side(self.size), "dtype": str(image_dtype(self.dtype))}
        forms |= {name: _per_channel(name, getattr(self, name)) for name in ("mean", "std")}
        for name, value in forms.items():
            object.__setattr__(self, name, value)

    def _check_output(self) -> None:
        checks.scaling(self.mean, self.std, CHANNELS, checks.UINT8 if self.augment is None else None)  # else as it runs
        if self.channels_last and self.output_layout != "CHW":
            raise ValueError(f"channels_last is for output_layout 'CHW', got {self.output_layout!r}")
        check_bytes(self.dtype, self.mean, self.std)

    def _check_heatmaps(self) -> None:
        heatmaps, stored = self.heatmaps, isinstance(self.heatmaps, HeatmapStore)
        if self.method is not None:
            expected = "heatmaps=provider, such as one of dalimix.heatmaps, or a store"
            checks.heatmaps_wanted(self.method, heatmaps is not None, expected)
        elif heatmaps is not None:
            raise ValueError("heatmaps are for mixed batches, but method is None")
        if heatmaps is not None and not stored:
            _check_provider(heatmaps)
        if self.heatmap_labels and (heatmaps is None or stored):
            kind = type(heatmaps).__name__
            raise ValueError(f"heatmap_labels are for a provider of heatmaps, but heatmaps is {kind}")

    def _check_mixed_only(self) -> None:
        if self.method is None and (self.smoothing or self.form != "dense"):
            got = f"{self.smoothing}, {self.form!r}"
            raise ValueError(
                f"smoothing and form are for mixed batches, but method is None, got {got}: give a method, "
                "or let the loss smooth, as torch.nn.CrossEntropyLoss(label_smoothing=…) does"
            )
        if self.method is None and self.keep_info:
            raise ValueError("keep_info is for mixed batches, but method is None")

    @property
    def _predictions(self) -> bool:
        """Whether the batch info has what the model under training said."""
        return self.keep_info and isinstance(self.heatmaps, SnapshotHeatmap)

    @property
    def outputs(self) -> Outputs:
        """What comes out of the pipeline."""
        return Outputs(self.method, self.form, self.keep_info, self._predictions, self.size, self.channels_last)

    def pipeline(self, feed: Feed, **runtime: Any) -> Any:
        """A pipeline from the feed to finished batches; `runtime` as every pipeline of DALI takes it."""
        layout = "HWC" if self.channels_last else self.output_layout
        normalise = {"mean": self.mean, "std": self.std, "dtype": dali_type(self.dtype), "output_layout": layout}
        if not self.training:
            return validation_pipeline(feed, self.size, self.device, normalise, **runtime)
        options = {"num_classes": len(feed.source.classes), "smoothing": self.smoothing, "form": self.form}
        guide = guide_for(self.method, self.heatmaps, self.heatmap_labels, self._predictions)
        return as_raised(lambda: training_pipeline(
            feed, self.method, self.size, self.device, normalise, options, guide, self.keep_info, self.augment,
            enable_conditionals=self.augment is not None, **runtime,
        ))  # fmt: skip

    def switched(self, **changes: Any) -> LoaderSettings:
        """With some of `SWITCHES` changed; see `dali_ops.Loader.switch`."""
        unknown = sorted(changes.keys() - set(SWITCHES))
        if unknown:
            raise TypeError(f"switch changes {', '.join(SWITCHES)}, got {unknown[0]}")
        if "method" in changes:
            if changes["method"] is None and self.method is not None:
                changes["method"] = NO_MIXING
            if not getattr(changes["method"], "reads_heatmaps", False):
                changes = {"heatmaps": None, "heatmap_labels": False, **changes}
        return replace(self, **changes)

    def facts(self) -> dict[str, Any]:
        """What a state must agree with, in words: another graph cannot go on from a checkpoint."""
        return {name: _in_words(value) for name, value in vars(self).items()}


def _side(size: Any) -> int:
    if isinstance(size, (tuple, list)):
        raise TypeError(f"size must be one whole number, the side of square images in pixels, got {size!r}: "
                        "images that are not square are not made yet")  # fmt: skip
    return checks.count("size", size, MOST_PIXELS)


def _per_channel(name: str, given: Any) -> tuple[float, ...]:
    """None is refused, which is nothing in DALI, and the values of ImageNet in other libraries."""
    if given is None:
        raise TypeError(f"{name} must be one number, or one per channel, got None: "
                        "leave it out for that of ImageNet, or give mean=0 and std=1 to normalise nothing")  # fmt: skip
    return per_channel(name, given, CHANNELS)


def _is_function(value: Any) -> bool:
    """A class is called, too, but makes objects."""
    return callable(value) and not isinstance(value, type)


def _check_provider(heatmaps: Any) -> None:
    refuse_model("heatmaps", heatmaps)
    if not _is_function(heatmaps):
        got = f"the class {heatmaps.__name__}" if isinstance(heatmaps, type) else type(heatmaps).__name__
        expected = "a provider of heatmaps, or a store as from HeatmapStore.open(path)"
        raise TypeError(f"heatmaps must be {expected}, got {got}")


def _in_words(value: Any) -> str:
    """The same in every process: what is a function or an object of its own goes by its name."""
    if isinstance(value, HeatmapStore):
        return f"{value.model}, {value.grid} × {value.grid}"
    if isinstance(value, partial):
        return f"{_in_words(value.func)}({_in_words(value.args)}, {_in_words(value.keywords)})"
    if isinstance(value, dict):
        return f"{{{', '.join(sorted(f'{_in_words(key)}: {_in_words(item)}' for key, item in value.items()))}}}"
    if isinstance(value, (set, frozenset)):
        return f"{{{', '.join(sorted(map(_in_words, value)))}}}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_in_words, value))}]"
    if isinstance(value, Method) or not callable(value) or (is_dataclass(value) and not isinstance(value, type)):
        return ADDRESS.sub("", repr(value))
    return getattr(value, "__qualname__", type(value).__name__)


def dali_type(name: str) -> Any:
    """DALI's type of this name."""
    from nvidia.dali import types

    return {"float32": types.FLOAT, "float16": types.FLOAT16, "uint8": types.UINT8}[name]
