"""The callback of `mix`, which mixes one batch of a pipeline."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import dalimix
from dali_ops.operators.draws import unflatten
from dali_ops.operators.nodes import NodeLayout, check_images, check_labels
from dali_ops.operators.pixels import Pixels
from dali_ops.operators.targets import Targets
from dalimix import Draws, Method, MixPlan, checks
from dalimix.arrays import Array
from dalimix.support.threads import threads


@dataclass(frozen=True, kw_only=True)
class Mixer:
    """The callback: whole batches in, whole batches out. DALI's dynamic mode calls `outputs`."""

    method: Method
    num_classes: int | None
    targets: Targets
    pixels: Pixels
    with_heatmaps: bool
    mirrored: bool
    return_plan: bool
    threads: int = 1  # of the processor, among which a batch is cut
    calls: str = "fn"  # the module in which users find DALI's operators
    node_layout: NodeLayout = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse now what can be refused without data."""
        checks.method(self.method)
        how = "such as heatmaps=dali_ops.model_heatmaps(images, provider)"
        checks.heatmaps_wanted(self.method, self.with_heatmaps, how)
        if self.num_classes is not None:
            checks.class_count(self.num_classes)
        object.__setattr__(self, "return_plan", checks.flag("return_plan", self.return_plan))
        object.__setattr__(self, "node_layout", NodeLayout(self.pixels.layout))

    @property
    def output_layouts(self) -> list[str] | None:
        """The layouts for `dali_ops.operators.bridge.whole_batch`: None passes on the layout of the images."""
        said = self.pixels.output_layout or self.pixels.layout
        return None if said is None else [said, *[""] * (self.num_outputs - 1)]

    @property
    def num_outputs(self) -> int:
        return 1 + self.targets.count + (self.num_plan if self.return_plan else 0)

    @property
    def num_plan(self) -> int:
        return 5 if self.method.token_grid is None else 6

    def __call__(self, images: Array, labels: Array, *rest: Array) -> list[Array]:
        values = iter(rest)
        draws = unflatten(self.method, values)
        heatmaps = next(values) if self.with_heatmaps else None
        mirror = next(values) if self.mirrored else None
        check_labels(labels)
        layout = self.node_layout.of(next(values, None), images.shape)
        return self.outputs(images, labels, draws, heatmaps, mirror, layout)

    def outputs(
        self,
        images: Array,
        labels: Array,
        draws: Draws,
        heatmaps: Array | None,
        mirror: Array | None,
        layout: checks.Layout,
    ) -> list[Array]:
        """Return images, targets and, if it is wanted, the plan."""
        check_images(images, self.calls)
        checks.images(images, layout)
        pixels, targets, size = self.pixels, self.targets, checks.image_size(images, layout)
        normalise = pixels.mean, pixels.std, pixels.dtype
        with threads(self.threads):
            plan = dalimix.plan(self.method, draws, size, heatmaps, mirror)
            mixed = dalimix.compose(images, plan, mirror, *normalise, layout, pixels.output_layout)
            soft = dalimix.soft_labels(labels, plan, self.num_classes, targets.smoothing, targets.form)
        outputs = [mixed, *(soft if isinstance(soft, tuple) else (soft,))]
        return outputs + list(plan.arrays()) if self.return_plan else outputs

    def packed(self, nodes: list[Any]) -> tuple[Any, ...]:
        """Arrange the outputs as the caller of `mix` gets them."""
        end = 1 + self.targets.count
        targets = nodes[1] if self.targets.form == "dense" else tuple(nodes[1:end])
        return (nodes[0], targets, MixPlan(*nodes[end:])) if self.return_plan else (nodes[0], targets)
