"""What mixes one batch of a pipeline: the callback of `mix`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from nvidia.dali.data_node import DataNode

import dalimix
from dali_ops.operators.draws import unflatten
from dali_ops.operators.nodes import NodeLayout, check_images, check_labels
from dalimix import Draws, Method, MixPlan, checks
from dalimix.arrays import Array
from dalimix.pixels import by_channel, check_bytes, image_dtype, per_channel

PerChannel = float | Sequence[float]


@dataclass(frozen=True, kw_only=True)
class Mixer:
    """The callback: whole batches in, whole batches out. DALI's dynamic mode calls `outputs`."""

    method: Method
    num_classes: int | None
    guided: bool  # by heatmaps
    mirrored: bool
    mean: Any  # as `per_channel` takes it; kept as a tuple, or None
    std: Any
    dtype: Any  # as `image_dtype` takes it; kept as NumPy's, or None
    layout: str | None  # None: the node's own
    output_layout: str | None
    smoothing: float
    form: Literal["dense", "pair"]
    return_plan: bool
    calls: str = "fn"  # what users find DALI's operators in
    node_layout: NodeLayout = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse at once what needs no data to be refused."""
        checks.method(self.method)
        checks.heatmaps_wanted(self.method, self.guided, "such as heatmaps=dali_ops.model_heatmaps(images, provider)")
        checks.layouts(layout=self.layout, output_layout=self.output_layout)
        checks.form(self.form, self.smoothing)
        if self.num_classes is not None:
            checks.class_count(self.num_classes)
        mean, std = _numbers("mean", self.mean), _numbers("std", self.std)
        means, _ = by_channel(mean or (0.0,), std or (1.0,))
        checks.scaling(mean, std, len(means))  # how many channels there are, only the images will tell
        dtype = None if self.dtype is None else image_dtype(self.dtype)
        check_bytes(dtype, mean, std)
        kept: dict[str, Any] = {"mean": mean, "std": std, "dtype": dtype, "node_layout": NodeLayout(self.layout)}
        kept["return_plan"] = checks.flag("return_plan", self.return_plan)
        for name, value in kept.items():
            object.__setattr__(self, name, value)

    @property
    def output_layouts(self) -> list[str] | None:
        """As `dali_ops.operators.bridge.whole_batch` takes them: None passes on the layout of the images."""
        said = self.output_layout or self.layout
        return None if said is None else [said, *[""] * (self.num_outputs - 1)]

    @property
    def num_outputs(self) -> int:
        return 1 + self.num_targets + (self.num_plan if self.return_plan else 0)

    @property
    def num_plan(self) -> int:
        return 5 if self.method.token_grid is None else 6

    @property
    def num_targets(self) -> int:
        return 1 if self.form == "dense" else 3

    def __call__(self, images: Array, labels: Array, *rest: Array) -> list[Array]:
        values = iter(rest)
        draws = unflatten(self.method, values)
        heatmaps = next(values) if self.guided else None
        mirror = next(values) if self.mirrored else None
        check_labels(labels)
        layout = self.node_layout.of(next(values, None), images.shape)
        return self.outputs(images, labels, draws, heatmaps, mirror, layout)

    def outputs(
        self, images: Array, labels: Array, draws: Draws, heatmaps: Array | None, mirror: Array | None, layout: str
    ) -> list[Array]:
        """Images, targets and, if it is wanted, the plan."""
        check_images(images, self.calls)
        checks.images(images, layout)
        plan = dalimix.plan(self.method, draws, checks.image_size(images, layout), heatmaps, mirror)
        mixed = dalimix.compose(images, plan, mirror, self.mean, self.std, self.dtype, layout, self.output_layout)
        targets = dalimix.soft_labels(labels, plan, self.num_classes, self.smoothing, self.form)
        outputs = [mixed, *(targets if isinstance(targets, tuple) else (targets,))]
        return outputs + list(plan.arrays()) if self.return_plan else outputs

    def packed(self, nodes: list[Any]) -> tuple[Any, ...]:
        """The outputs as the caller of `mix` gets them."""
        end = 1 + self.num_targets
        targets = nodes[1] if self.form == "dense" else tuple(nodes[1:end])
        return (nodes[0], targets, MixPlan(*nodes[end:])) if self.return_plan else (nodes[0], targets)


def _numbers(name: str, given: Any) -> tuple[float, ...] | None:
    if isinstance(given, DataNode):
        raise TypeError(f"{name} must be numbers, got a pipeline node")
    return None if given is None else per_channel(name, given)
