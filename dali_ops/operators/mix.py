"""The mixing operator for DALI pipelines."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from nvidia.dali import fn
from nvidia.dali.data_node import DataNode

from dali_ops.decorators import plain_python
from dali_ops.operators import bridge
from dali_ops.operators.draws import draw, flatten
from dali_ops.operators.mixer import Mixer
from dali_ops.operators.model_heatmaps import refuse_model
from dali_ops.operators.nodes import check_node, device_of, facts
from dali_ops.operators.pixels import PerChannel, Pixels
from dali_ops.operators.targets import Targets
from dalimix import Draws, Erase, Method, checks
from dalimix.support.numbers import is_whole


@plain_python
def mix(
    images: DataNode,
    labels: DataNode,
    method: Method,
    *,
    num_classes: int | None = None,
    heatmaps: DataNode | None = None,
    erase: Erase | None = None,
    mirror: DataNode | int | None = None,
    mean: PerChannel | None = None,
    std: PerChannel | None = None,
    dtype: Any = None,
    layout: checks.Layout | None = None,
    output_layout: checks.Layout | None = None,
    smoothing: float = 0.0,
    form: Literal["dense", "pair"] = "dense",
    return_plan: bool = False,
    seed: int | None = -1,
    device: Any = None,
) -> tuple[Any, ...]:
    """Mix a batch and its labels inside a pipeline; mirror, normalise, cast and change layout in the same pass.

    It replaces ``fn.crop_mirror_normalize`` at the end of a pipeline; `mirror`, `mean`, `std`, `dtype`,
    `output_layout`, `seed` and `device` mean the same as there.

    Args:
        images: uint8, float16 or float32 samples, [H, W, C] or [C, H, W], all of one size.
        labels: integer class indices, scalars or [1]; or soft labels, floating [C].
        method: e.g. ``dalimix.CutMix()``.
        num_classes: C; needed for integer labels in the dense form.
        heatmaps: floating [h, w], for methods that read them, as from `dali_ops.model_heatmaps` or
            `dali_ops.stored_heatmaps`: of the images as they come, not mirrored.
        erase: random erasing of every image before it is mixed, such as ``dalimix.Erase(prob=0.25)``; labels stay.
        mirror: integer per sample, 1 to flip from left to right before mixing; or one integer for all.
        mean: subtracted from each channel, in the units of the input; one number or C of them, in any array or tensor.
        std: each channel is divided by it; likewise.
        dtype: of the output, uint8, float16, bfloat16 or float32, by the name of any library. None: float32 if there is
            a mean or std and the images are uint8, else that of the images. DALI has no type for bfloat16: such images
            come as int16, which hold the bits; ``images.view(torch.bfloat16)`` of the tensor reads them.
        layout: of the images, ``"HWC"`` or ``"CHW"``; None: that of the node, or ``"HWC"`` if it has none.
        output_layout: of the output; None: `layout`, or without it that of the node, if it has one.
        smoothing: label smoothing in [0, 1].
        form: ``"dense"`` targets or ``"pair"``.
        return_plan: return the plan, too; what `erase` erases is no part of it.
        seed: of the random operators; -1 or None: the pipeline's seed decides.
        device: ``"cpu"``, ``"gpu"``, ``"cuda"`` or a torch.device; None: that of the images.

    Returns:
        ``(images, targets)``, or with `return_plan` ``(images, targets, plan)``. Dense targets are float32 [C]; pairs
        are ``(label, label of the partner, weight)``, weight float32 [2]. The plan is a `dalimix.MixPlan` of nodes;
        a pipeline can return ``plan.arrays()``, and ``MixPlan(*arrays)`` makes a plan of its outputs again.

    Raises:
        ValueError, TypeError: arguments are out of range, raised here; or the data do not fit, raised when the pipeline
            runs, as DALI's RuntimeError with the message of the ValueError inside.
        RuntimeError: no pipeline is being defined.
        ModuleNotFoundError: ``device="gpu"`` without CuPy.

    Examples:
        >>> @pipeline_def(batch_size=4, num_threads=2, device_id=None, seed=0)
        ... def training():
        ...     encoded, labels = fn.readers.file(file_root=folder, random_shuffle=True)
        ...     images = fn.resize(fn.decoders.image(encoded), size=[32, 32])
        ...     normalise = {"mean": 127.5, "std": 64.0, "output_layout": "CHW"}
        ...     return mix(images, labels, CutMix(), num_classes=3, mirror=fn.random.coin_flip(), **normalise)
        >>> images, targets = training().run()
        >>> images.shape()[0], targets.shape()[0]
        ((3, 32, 32), (3,))
    """
    mixer = Mixer(
        method=method,
        num_classes=num_classes,
        targets=Targets(smoothing, form),
        pixels=Pixels(mean=mean, std=std, dtype=dtype, layout=layout, output_layout=output_layout),
        with_heatmaps=heatmaps is not None,
        mirrored=mirror is not None,
        return_plan=return_plan,
        erase=erase,
        threads=bridge.current_threads(),
    )
    check_node("images", images)
    check_node("labels", labels)
    if heatmaps is not None:
        refuse_model("heatmaps", heatmaps, "give dali_ops.model_heatmaps(images, provider) of a provider")
        check_node("heatmaps", heatmaps, "that of model_heatmaps or stored_heatmaps")
    bridge.current_pipeline("mix", "; for arrays there is dalimix.compose, for dynamic mode dali_ops.dynamic.mix")
    device, drawn = device_of(device, images), draw(method, seed, erase)
    known = facts(layout, images, labels=labels, heatmaps=heatmaps)
    return mixed(mixer, images, labels, drawn, heatmaps, _mirror_node(mirror), known, device=device)


def mixed(
    mixer: Mixer, images: DataNode, labels: DataNode, drawn: Draws, *others: DataNode | None, device: str
) -> tuple[Any, ...]:
    """Return what `mix` does, of nodes of one shape each.

    Args:
        mixer: the callback.
        images, labels: what is mixed.
        drawn: the random numbers.
        others: heatmaps or what they are cut of, mirror, and the facts if the mixer does not know the layout; each may
            be None.
        device: ``"cpu"`` or ``"gpu"``.
    """
    nodes = [images, labels, *flatten(drawn), *others]
    inputs = [bridge.moved(node, device) for node in nodes if node is not None]
    outputs = bridge.whole_batch(mixer, inputs, mixer.num_outputs, device, mixer.output_layouts, name="Mix")
    return mixer.packed(outputs)


def _mirror_node(mirror: Any) -> DataNode | None:
    if mirror is None or isinstance(mirror, DataNode):
        return mirror
    return fn.constant(idata=one_mirror(mirror), shape=[1])


def one_mirror(mirror: Any) -> int:
    """Return 0 or 1, for all images.

    Raises:
        TypeError, ValueError: it is something else.
    """
    if not isinstance(mirror, (bool, np.bool_)) and not is_whole(mirror):
        raise TypeError(f"mirror must be one for each image, or 0 or 1 for all, got {mirror!r}")
    if mirror not in (0, 1):
        raise ValueError(f"mirror must be 0 or 1, got {mirror}")
    return int(mirror)
