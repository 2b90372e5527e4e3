"""The mixing operator for DALI pipelines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from nvidia.dali import fn
from nvidia.dali.data_node import DataNode
from nvidia.dali.pipeline import do_not_convert

import dalimix
from dali_ops import bridge
from dali_ops.draws import draw, flatten, unflatten
from dali_ops.model_heatmaps import refuse_model
from dali_ops.nodes import NodeLayout, check_images, check_labels, check_node, device_of, facts
from dalimix import Draws, Method, MixPlan, checks
from dalimix.backend import Array
from dalimix.methods.base import is_whole
from dalimix.pixels import by_channel, check_bytes, image_dtype, per_channel

PerChannel = float | Sequence[float]


@do_not_convert  # plain Python, also where the pipeline around it is rewritten for conditionals
def mix(
    images: DataNode,
    labels: DataNode,
    method: Method,
    *,
    num_classes: int | None = None,
    heatmaps: DataNode | None = None,
    mirror: DataNode | int | None = None,
    mean: PerChannel | None = None,
    std: PerChannel | None = None,
    dtype: Any = None,
    layout: str | None = None,
    output_layout: str | None = None,
    smoothing: float = 0.0,
    form: Literal["dense", "pair"] = "dense",
    return_plan: bool = False,
    seed: int | None = -1,
    device: Any = None,
) -> tuple[Any, ...]:
    """Mix a batch and its labels inside a pipeline; mirror, normalise, cast and change layout in the same pass.

    It takes the place of ``fn.crop_mirror_normalize`` at the end of a pipeline, and `mirror`, `mean`, `std`, `dtype`,
    `output_layout`, `seed` and `device` mean what they mean there.

    Args:
        images: uint8, float16 or float32 samples, [H, W, C] or [C, H, W], all of one size.
        labels: integer class numbers, scalars or [1]; or labels that are soft already, floating [C].
        method: e.g. ``dalimix.CutMix()``.
        num_classes: C; needed for integer labels in the dense form.
        heatmaps: floating [h, w], for methods that read them, as from `dali_ops.model_heatmaps` or
            `dali_ops.stored_heatmaps`: of the images as they come, not mirrored.
        mirror: integer per sample, 1 to flip from left to right before mixing; or one integer for all.
        mean: subtracted from each channel, in units of the input; one number or C of them, in any array or tensor.
        std: each channel is divided by it; likewise.
        dtype: of the output, uint8, float16 or float32, by the name of any library. None: float32 if there is a mean or
            std and the images are uint8, else that of the images.
        layout: of the images, ``"HWC"`` or ``"CHW"``; None: that of the node, or ``"HWC"`` if it has none.
        output_layout: likewise; None: `layout`, or without it that which the node has, if any.
        smoothing: label smoothing in [0, 1].
        form: ``"dense"`` targets or ``"pair"``.
        return_plan: return the plan, too.
        seed: of the random operators; -1 or None: the pipeline's seed decides.
        device: ``"cpu"``, ``"gpu"``, ``"cuda"`` or a torch.device; None: where the images are.

    Returns:
        ``(images, targets)``, or with `return_plan` ``(images, targets, plan)``. Dense targets are float32 [C]; pairs
        are ``(label, label of the partner, weight)``, weight float32 [2]. The plan is a `dalimix.MixPlan` of nodes;
        ``plan.arrays()`` are those that a pipeline can return, and of what it returned, ``MixPlan(*arrays)`` makes a
        plan again.

    Raises:
        ValueError, TypeError: arguments out of range, now; data that do not fit, when the pipeline runs, as DALI's
            RuntimeError with the message of the ValueError inside.
        RuntimeError: no pipeline is being defined.
        ModuleNotFoundError: ``device="gpu"`` without CuPy.
    """
    mixer = Mixer(
        method=method,
        num_classes=num_classes,
        guided=heatmaps is not None,
        mirrored=mirror is not None,
        mean=mean,
        std=std,
        dtype=dtype,
        layout=layout,
        output_layout=output_layout,
        smoothing=smoothing,
        form=form,
        return_plan=return_plan,
    )
    check_node("images", images)
    check_node("labels", labels)
    if heatmaps is not None:
        refuse_model("heatmaps", heatmaps, "give dali_ops.model_heatmaps(images, provider) of a provider")
        check_node("heatmaps", heatmaps, "of model_heatmaps or stored_heatmaps")
    bridge.current_pipeline("mix", "; for arrays there is dalimix.compose, for dynamic mode dali_ops.dynamic.mix")
    device, drawn = device_of(device, images), draw(method, seed)
    known = facts(layout, images, labels=labels, heatmaps=heatmaps)
    nodes = [images, labels, *flatten(drawn), heatmaps, _mirror_node(mirror), known]
    inputs = [bridge.moved(node, device) for node in nodes if node is not None]
    outputs = bridge.whole_batch(mixer, inputs, mixer.num_outputs, device, mixer.output_layouts, name="Mix")
    return mixer.packed(outputs)


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
        """As `dali_ops.bridge.whole_batch` takes them: None passes on the layout of the images."""
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


def _mirror_node(mirror: Any) -> DataNode | None:
    if mirror is None or isinstance(mirror, DataNode):
        return mirror
    return fn.constant(idata=one_mirror(mirror), shape=[1])


def one_mirror(mirror: Any) -> int:
    """0 or 1, for all images.

    Raises:
        TypeError, ValueError: it is something else.
    """
    if not isinstance(mirror, (bool, np.bool_)) and not is_whole(mirror):
        raise TypeError(f"mirror must be one for each image, or 0 or 1 for all, got {mirror!r}")
    if mirror not in (0, 1):
        raise ValueError(f"mirror must be 0 or 1, got {mirror}")
    return int(mirror)


def _numbers(name: str, given: Any) -> tuple[float, ...] | None:
    if isinstance(given, DataNode):
        raise TypeError(f"{name} must be numbers, got a pipeline node")
    return None if given is None else per_channel(name, given)
