"""What a loader does to its images; all of it may change between two epochs."""

from __future__ import annotations

import re
from dataclasses import dataclass, is_dataclass, replace
from functools import partial
from typing import Any

from dali_ops.loader.augmentations import IN_PLACE
from dali_ops.loader.heatmap_sources import source_of_heatmaps
from dali_ops.loader.outputs import Outputs
from dali_ops.loader.pipelines import NO_MIXING, training_pipeline, validation_pipeline
from dali_ops.loader.reading.feed import Feed
from dali_ops.loader.transforms import Eval, Train, is_function
from dali_ops.operators.augment import as_raised
from dali_ops.operators.model_heatmaps import check_takes_labels, refuse_model
from dali_ops.operators.targets import Targets
from dali_ops.samplers.sampler import Sampler
from dalimix import Method, checks
from dalimix.heatmaps import HeatmapProvider, SnapshotHeatmap
from dalimix.stores import HeatmapStore

ADDRESS = re.compile(" at 0x[0-9a-fA-F]+")  # in the repr of objects that define none


@dataclass(frozen=True, kw_only=True)
class LoaderSettings:
    """The settings of `dali_ops.Loader` about its batches, checked as a whole; each part has checked itself."""

    method: Method | None
    transform: Train | Eval
    targets: Targets
    heatmaps: HeatmapProvider | HeatmapStore | None
    heatmap_labels: bool
    keep_info: bool
    sampler: Sampler | None
    device: str

    def __post_init__(self) -> None:
        for name in ("heatmap_labels", "keep_info"):
            object.__setattr__(self, name, checks.flag(name, getattr(self, name)))
        checks.kind("transform", self.transform, (Train, Eval), "dali_ops.Train() or dali_ops.Eval(), or one like it")
        checks.kind("targets", self.targets, Targets, "dali_ops.Targets(smoothing=0.1), or one like it")
        if self.method is not None:
            checks.method(self.method)
        if self.method is not None and not self.training:
            raise ValueError("mixing is for training, but transform is an Eval: give method=None, or transform=Train()")
        self._check_sampler()
        self._check_heatmaps()
        self._check_mixed_only()

    @property
    def training(self) -> bool:
        """Whether images are shuffled and cropped at random."""
        return isinstance(self.transform, Train)

    def _check_sampler(self) -> None:
        if self.sampler is not None:
            checks.kind("sampler", self.sampler, Sampler, "one of dali_ops.samplers, such as Balanced()")
        if self.sampler is not None and not self.training:
            raise ValueError(f"a sampler is for training, got {self.sampler}, but transform is an Eval, which sees "
                             "every image once: leave sampler out, or give transform=Train()")  # fmt: skip

    def _check_heatmaps(self) -> None:
        heatmaps, stored = self.heatmaps, isinstance(self.heatmaps, HeatmapStore)
        if self.method is not None:
            expected = "heatmaps=provider, such as one of dalimix.heatmaps, or a store"
            checks.heatmaps_wanted(self.method, heatmaps is not None, expected)
        elif heatmaps is not None:
            raise ValueError("heatmaps are for mixed batches, but method is None")
        if stored:
            _check_in_place(self.transform)
        elif heatmaps is not None:
            _check_provider(heatmaps)
        if self.heatmap_labels and (heatmaps is None or stored):
            kind = type(heatmaps).__name__
            raise ValueError(f"heatmap_labels are for a provider of heatmaps, but heatmaps is {kind}")
        if self.heatmap_labels:
            check_takes_labels("heatmap_labels", heatmaps)

    def _check_mixed_only(self) -> None:
        if self.method is None and self.targets != Targets():
            raise ValueError(
                f"smoothing and form are for mixed batches, but method is None, got {self.targets}: give a method, "
                "or let the loss smooth, as torch.nn.CrossEntropyLoss(label_smoothing=…) does"
            )
        if self.method is None and self.keep_info:
            raise ValueError("keep_info is for mixed batches, but method is None")

    @property
    def _predictions(self) -> bool:
        """Whether the batch info holds predictions of the model under training."""
        return self.keep_info and isinstance(self.heatmaps, SnapshotHeatmap)

    @property
    def outputs(self) -> Outputs:
        """The outputs of the pipeline."""
        transform = self.transform
        form, info, predictions = self.targets.form, self.keep_info, self._predictions
        last, bits = transform.channels_last, transform.in_bits
        return Outputs(self.method, form, info, predictions, transform.sides, channels_last=last, in_bits=bits)

    def pipeline(self, feed: Feed, **runtime: Any) -> Any:
        """Make a pipeline from the feed to finished batches; `runtime` is what every DALI pipeline takes."""
        transform = self.transform
        if isinstance(transform, Eval):
            return validation_pipeline(feed, transform, self.device, **runtime)
        heatmap_source = source_of_heatmaps(self.method, self.heatmaps, self.heatmap_labels, self._predictions)
        return as_raised(lambda: training_pipeline(
            feed, self.method, transform, self.targets, self.device, heatmap_source, self.keep_info,
            enable_conditionals=transform.augment is not None, **runtime,
        ))  # fmt: skip

    def switched(self, **changes: Any) -> LoaderSettings:
        """Return the settings with some of them changed; see `dali_ops.Loader.switch`."""
        if "method" in changes:
            if changes["method"] is None and self.method is not None:
                changes["method"] = NO_MIXING
            if not getattr(changes["method"], "reads_heatmaps", False):
                changes = {"heatmaps": None, "heatmap_labels": False, **changes}
        was, wanted = self.transform, changes.get("transform", self.transform)
        if isinstance(wanted, (Train, Eval)) and type(wanted) is not type(was):
            kinds = f"{type(was).__name__} to {type(wanted).__name__}"
            raise ValueError(f"transform cannot be switched from {kinds}: make another loader for that")
        return replace(self, **changes)

    def facts(self) -> dict[str, Any]:
        """What a state must agree with, in words: a checkpoint of another graph cannot be resumed."""
        own = {**vars(self), **vars(self.transform), **vars(self.targets), "transform": type(self.transform).__name__}
        return {name: in_words(value) for name, value in own.items() if name != "targets"}


def _check_in_place(transform: Train | Eval) -> None:
    name = transform.augment if isinstance(transform, Train) else None
    if isinstance(name, str) and name not in IN_PLACE:
        remedy = "take augment='three', or a provider, which looks at the images"
        raise ValueError(f"augment={name!r} moves pixels, which the heatmaps of a store do not follow: {remedy}")


def _check_provider(heatmaps: Any) -> None:
    refuse_model("heatmaps", heatmaps)
    if not is_function(heatmaps):
        got = f"the class {heatmaps.__name__}" if isinstance(heatmaps, type) else type(heatmaps).__name__
        expected = "a provider of heatmaps, or a store as from HeatmapStore.open(path)"
        raise TypeError(f"heatmaps must be {expected}, got {got}")


def in_words(value: Any) -> str:
    """The same words in every process: functions and objects are given by their names."""
    if isinstance(value, HeatmapStore):
        return f"{value.model}, {value.grid} × {value.grid}"
    if isinstance(value, partial):
        return f"{in_words(value.func)}({in_words(value.args)}, {in_words(value.keywords)})"
    if isinstance(value, dict):
        return f"{{{', '.join(sorted(f'{in_words(key)}: {in_words(item)}' for key, item in value.items()))}}}"
    if isinstance(value, (set, frozenset)):
        return f"{{{', '.join(sorted(map(in_words, value)))}}}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(in_words, value))}]"
    if isinstance(value, Method) or not callable(value) or (is_dataclass(value) and not isinstance(value, type)):
        return ADDRESS.sub("", repr(value))
    return getattr(value, "__qualname__", type(value).__name__)
