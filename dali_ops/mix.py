"""The mixing operator for DALI pipelines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from nvidia.dali import fn, types
from nvidia.dali.data_node import DataNode
from nvidia.dali.pipeline import do_not_convert

import dalimix
from dali_ops import bridge
from dali_ops.device import check_device
from dali_ops.draws import draw, flatten, unflatten
from dalimix import Draws, Method, MixPlan, checks
from dalimix.backend import Array

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
    layout: str = "HWC",
    output_layout: str | None = None,
    smoothing: float = 0.0,
    form: Literal["dense", "pair"] = "dense",
    return_plan: bool = False,
    seed: int | None = -1,
    device: str | None = None,
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
        mean: subtracted from each channel, in units of the input; one number or C of them.
        std: each channel is divided by it; one number or C of them.
        dtype: of the output, DALI's or NumPy's: uint8, float16 or float32. None: float32 if there is a mean or std
            and the images are uint8, else that of the images.
        layout: of the images, ``"HWC"``, as decoders give them, or ``"CHW"``.
        output_layout: likewise; None: that of the images.
        smoothing: label smoothing in [0, 1].
        form: ``"dense"`` targets or ``"pair"``.
        return_plan: return the plan, too.
        seed: of the random operators; -1 or None: the pipeline's seed decides.
        device: ``"cpu"`` or ``"gpu"``; None: where the images are.

    Returns:
        ``(images, targets)``, or with `return_plan` ``(images, targets, plan)``. Dense targets are float32 [C]; pairs
        are ``(label, label of the partner, weight)``, weight float32 [2]. The plan is a `dalimix.MixPlan` of nodes;
        ``plan.arrays()`` are those that a pipeline can return, and of what it returned, ``MixPlan(*arrays)`` makes a
        plan again.

    Raises:
        ValueError, TypeError: arguments out of range, now; data that do not fit, when the pipeline runs, as DALI's
            RuntimeError with the message of the ValueError inside.
        ModuleNotFoundError: ``device="gpu"`` without CuPy.
    """
    mixer = Mixer(
        method=method,
        num_classes=num_classes,
        guided=heatmaps is not None,
        mirrored=mirror is not None,
        mean=mean,
        std=std,
        dtype=numpy_dtype(dtype),
        layout=layout,
        output_layout=output_layout,
        smoothing=smoothing,
        form=form,
        return_plan=return_plan,
    )
    if heatmaps is not None and not isinstance(heatmaps, DataNode):
        kind = type(heatmaps).__name__
        raise TypeError(f"heatmaps must be a pipeline node, such as of model_heatmaps or stored_heatmaps, got {kind}")
    device = device or images.device
    check_device(device)
    inputs = [images, labels, *flatten(draw(method, -1 if seed is None else seed))]
    inputs += [node for node in (heatmaps, _mirror_node(mirror)) if node is not None]
    layouts = [output_layout or layout] + [""] * (mixer.num_outputs - 1)
    moved = [bridge.moved(node, device) for node in inputs]
    return mixer.packed(bridge.whole_batch(mixer, moved, mixer.num_outputs, device, layouts, name="Mix"))


@dataclass(frozen=True, kw_only=True)
class Mixer:
    """The callback: whole batches in, whole batches out. DALI's dynamic mode calls `outputs`."""

    method: Method
    num_classes: int | None
    guided: bool  # by heatmaps
    mirrored: bool
    mean: PerChannel | None
    std: PerChannel | None
    dtype: np.dtype | None
    layout: str
    output_layout: str | None
    smoothing: float
    form: Literal["dense", "pair"]
    return_plan: bool

    def __post_init__(self) -> None:
        """Refuse at once what needs no data to be refused."""
        checks.method(self.method)
        checks.heatmaps_wanted(self.method, self.guided, "such as heatmaps=dali_ops.model_heatmaps(images, provider)")
        checks.form(self.form, self.smoothing)
        checks.layout(self.layout)
        if self.output_layout is not None:
            checks.layout(self.output_layout)
        if self.num_classes is not None:
            checks.class_count(self.num_classes)
        if isinstance(self.mean, DataNode) or isinstance(self.std, DataNode):
            raise TypeError("mean and std must be numbers, got a pipeline node")
        per_channel: list[Any] = [self.mean, self.std]
        channels = max(map(np.size, per_channel))  # how many there are, only the images will tell
        checks.scaling(self.mean, self.std, channels)

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
        return self.outputs(images, labels, draws, heatmaps, mirror)

    def outputs(
        self, images: Array, labels: Array, draws: Draws, heatmaps: Array | None, mirror: Array | None
    ) -> list[Array]:
        """Images, targets and, if it is wanted, the plan."""
        checks.images(images, self.layout)
        plan = dalimix.plan(self.method, draws, checks.image_size(images, self.layout), heatmaps, mirror)
        mixed = dalimix.compose(
            images, plan, mirror, self.mean, self.std, self.dtype, self.layout, self.output_layout
        )  # fmt: skip
        targets = dalimix.soft_labels(labels, plan, self.num_classes, self.smoothing, self.form)
        outputs = [mixed, *(targets if isinstance(targets, tuple) else (targets,))]
        return outputs + list(plan.arrays()) if self.return_plan else outputs

    def packed(self, nodes: list[Any]) -> tuple[Any, ...]:
        """The outputs as the caller of `mix` gets them."""
        end = 1 + self.num_targets
        targets = nodes[1] if self.form == "dense" else tuple(nodes[1:end])
        return (nodes[0], targets, MixPlan(*nodes[end:])) if self.return_plan else (nodes[0], targets)


def _mirror_node(mirror: DataNode | int | None) -> DataNode | None:
    if mirror is None or isinstance(mirror, DataNode):
        return mirror
    if not isinstance(mirror, int):
        raise TypeError(f"mirror must be a pipeline node or an integer, got {mirror!r}")
    return fn.constant(idata=int(mirror), shape=[1])


def numpy_dtype(dtype: Any) -> np.dtype | None:
    """From DALI's of either mode, NumPy's or torch's, if there is one."""
    if dtype is None:
        return None
    dtype = getattr(dtype, "type_id", dtype)
    if isinstance(dtype, types.DALIDataType):
        dtype = types.to_numpy_type(dtype)
    if type(dtype).__module__ == "torch":
        dtype = str(dtype).removeprefix("torch.")
    return checks.output_dtype(dtype, np.dtype("uint8"), normalised=False)
