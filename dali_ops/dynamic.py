"""Mixing in DALI's dynamic mode, `nvidia.dali.experimental.dynamic`, called ndd here.

Dynamic mode has no operators in Python, and needs none: its batches become arrays, uncopied, and arrays become batches.

**Lifetime on the GPU.** All work is queued on the stream of ndd's evaluation context. What DALI hands out by DLPack, as
in ``batch.torch()``, it frees when the GPU is done with all that was queued before it came back (DLTensorGraveyard in
its sources); so no batch changes under a slow consumer, and no input under the kernels. Yet every output is copied once
into memory of DALI's, on the same stream, in the order of which CuPy reuses its own: DALI frees in another thread, for
CuPy's memory that needs Python's lock, and a process that ends while a thread waits for that lock is aborted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal

import numpy as np
import nvidia.dali.experimental.dynamic as ndd

from dali_ops.device import check_device, device_number, usable_device
from dali_ops.lifetime import OneProcess
from dali_ops.operators.bridge import Exported
from dali_ops.operators.draws import Operators, draw_by
from dali_ops.operators.mix import one_mirror
from dali_ops.operators.mixer import Mixer
from dali_ops.operators.model_heatmaps import refuse_model
from dali_ops.operators.nodes import check_labels, layout_of_images, unequal
from dali_ops.operators.pixels import PerChannel, Pixels
from dali_ops.operators.targets import Targets
from dalimix import Draws, Method, checks
from dalimix.arrays import Array
from dalimix.cuda.stream import borrowed_stream

HOST = (1, 3)  # DLPack's numbers of memory of the CPU, pageable and pinned
MAX_BATCH = 2**31 - 1  # DALI counts samples in int32
SAME_STREAM = -1  # DLPack's number for: nothing to wait for
OPERATORS = Operators(
    ndd.batch_permutation, ndd.random.beta, ndd.random.uniform, ndd.math.floor, ndd.cast, ndd.reinterpret
)

_PROCESS = OneProcess("dynamic mode", "use it in one process, or start the other one by spawn")


def draw(method: Method, batch_size: int, rng: ndd.random.RNG | None = None) -> Draws:
    """Draw the random numbers of one batch by DALI's operators.

    Args:
        method: what is going to be mixed by.
        batch_size: B, from 1.
        rng: a generator of dynamic mode; None: the thread's default one, whose seed
            ``ndd.random.set_seed`` sets.

    Returns:
        `dalimix.Draws` of batches on the CPU.

    Raises:
        TypeError: `method` is no mixing method, or `rng` no generator of dynamic mode.
        ValueError: `batch_size` is below 1.
    """
    _PROCESS.check()
    checks.method(method)
    batch_size = checks.count("batch_size", batch_size, MAX_BATCH)
    if rng is not None and not isinstance(rng, ndd.random.RNG):
        raise TypeError(f"rng must be an ndd.random.RNG, got {type(rng).__name__}")

    def random(operator: Callable[..., Any], **arguments: Any) -> Any:
        return operator(batch_size=batch_size, rng=rng, **arguments)

    return draw_by(OPERATORS, method, random)


def mix(
    batch: ndd.Batch,
    labels: Any,
    method: Method,
    *,
    num_classes: int | None = None,
    heatmaps: Any = None,
    mirror: Any = None,
    mean: PerChannel | None = None,
    std: PerChannel | None = None,
    dtype: Any = None,
    layout: checks.Layout | None = None,
    output_layout: checks.Layout | None = None,
    smoothing: float = 0.0,
    form: Literal["dense", "pair"] = "dense",
    return_plan: bool = False,
    draws: Draws | None = None,
    rng: ndd.random.RNG | None = None,
    device: Any = None,
) -> tuple[Any, ...]:
    """Mix a batch and its labels; mirror, normalise, cast and change layout in the same pass.

    What `dali_ops.mix` is for pipelines: with the same draws it gives the same numbers. Besides batches, all but the
    images may be arrays or tensors of NumPy, CuPy, torch or DALI, with the batch as their first dimension. In capture
    mode, too.

    Args:
        batch: a `Batch` of images, uint8, float16 or float32, [H, W, C] or [C, H, W], all of one size.
        labels: integer class numbers, scalars or [1]; or labels that are soft already, floating [C].
        method: e.g. ``dalimix.CutMix()``.
        num_classes: C; needed for integer labels in the dense form.
        heatmaps: floating [h, w], for methods that read them: of the images as they come, not mirrored.
        mirror: integer per sample, 1 to flip from left to right before mixing; or one integer for all.
        mean, std, dtype, smoothing, form: as of `dali_ops.mix`; dtype may be one of dynamic mode, too.
        layout: of the images, ``"HWC"`` or ``"CHW"``; None: that which the batch has, or ``"HWC"`` if it has none.
        output_layout: likewise; None: that of the images.
        return_plan: return the plan, too.
        draws: the random numbers, as from `draw` or `dalimix.draw`; None: new ones.
        rng: for new ones, as of `draw`.
        device: ``"cpu"``, ``"gpu"``, ``"cuda:1"``, or a device of torch or of dynamic mode; None: where the images are.
            On a GPU the work is queued on the stream of the current ``ndd.EvalContext``, whose device it must be.

    Returns:
        ``(images, targets)``, or with `return_plan` ``(images, targets, plan)``, batches all of them. Images have their
        layout. Dense targets are float32 [C]; pairs are ``(label, label of the partner, weight)``, weight float32 [2].
        The plan is a `dalimix.MixPlan` of batches.

    Raises:
        TypeError, ValueError: arguments out of range, or data that do not fit.
        ModuleNotFoundError: a GPU without CuPy.
    """
    _PROCESS.check()
    _check(batch, labels, method, heatmaps, layout)
    own = layout_of_images(layout, batch.layout or "", (batch.batch_size, *batch.shape[0]), "batch")
    mixer = Mixer(
        method=method,
        num_classes=num_classes,
        targets=Targets(smoothing, form),
        pixels=Pixels(mean=mean, std=std, dtype=dtype, layout=own, output_layout=output_layout),
        guided=heatmaps is not None,
        mirrored=mirror is not None,
        return_plan=return_plan,
        calls="ndd",
    )
    target = _target(batch, device)
    drawn = draw(method, batch.batch_size, rng) if draws is None else _replayed(draws, rng)
    with _queue(target):
        put = partial(_array, target=target)
        images, numbers = put(batch, "batch"), drawn.mapped(partial(put, name="draws"))
        checks.batch("draws", numbers.partner.reshape(numbers.partner.shape or 1), len(images))
        given = [put(labels, "labels"), put(heatmaps, "heatmaps"), put(_mirrors(mirror, len(images)), "mirror")]
        if isinstance(labels, ndd.Batch):
            check_labels(given[0], "ndd")
        arrays = mixer.outputs(images, given[0], numbers, given[1], given[2], own)
        layouts = [output_layout or own, *[""] * (len(arrays) - 1)]
        return mixer.packed([_batch(*output, target) for output in zip(arrays, layouts, strict=True)])


def _check(batch: Any, labels: Any, method: Any, heatmaps: Any, layout: Any) -> None:
    if not isinstance(batch, ndd.Batch):
        kind = type(batch).__name__
        raise TypeError(
            f'batch must be a Batch of dynamic mode, such as ndd.as_batch(images, layout="HWC"), got {kind}'
        )
    checks.method(method)
    checks.heatmaps_wanted(method, heatmaps is not None, f"heatmaps=[{batch.batch_size}, h, w], one map for each image")
    _check_heatmaps(heatmaps)
    checks.layouts(layout=layout)
    if labels is None:
        raise TypeError("labels must be class numbers or soft labels, got None")
    if not batch.batch_size:
        raise ValueError("batch must hold at least one image")


def _check_heatmaps(heatmaps: Any) -> None:
    """Refuse what makes heatmaps in the place of heatmaps."""
    refuse_model("heatmaps", heatmaps, "give what a provider returns, called with the images as a tensor [B, C, H, W]")
    if callable(heatmaps):
        raise TypeError(f"heatmaps must be an array [B, h, w], got {type(heatmaps).__name__}: "
                        "if that is a provider, call it with the images as a tensor [B, C, H, W]")  # fmt: skip


def _mirrors(mirror: Any, count: int) -> Any:
    """One for each image."""
    one_for_all = isinstance(mirror, (int, np.integer, np.bool_))
    return np.full(count, one_mirror(mirror), np.int32) if one_for_all else mirror


def _replayed(draws: Any, rng: Any) -> Draws:
    _check_draws(draws)
    if rng is not None:
        raise ValueError("rng is for new random numbers, but draws are given")
    replayed: Draws = draws
    return replayed


def _check_draws(draws: Any) -> None:
    """Refuse what does not even have the parts of draws."""
    if not isinstance(draws, Draws):
        raise TypeError(f"draws must be a dalimix.Draws, as of dali_ops.dynamic.draw, got {type(draws).__name__}")
    if draws.partner is None or draws.uniform is None or not isinstance(draws.members, tuple):
        raise TypeError("draws must have arrays of partner and uniform, and a tuple of members")
    for member in draws.members:
        _check_draws(member)


def _target(batch: ndd.Batch, device: Any) -> ndd.Device:
    device = batch.device if device is None else device
    if isinstance(device, ndd.Device):
        check_device(device.device_type)
        return device
    return ndd.Device(usable_device(device), device_number(device))


@contextmanager
def _queue(target: ndd.Device) -> Iterator[None]:
    """On a GPU, ndd's stream as CuPy's current one."""
    if target.device_type == "cpu":
        yield
        return
    import cupy

    context = ndd.EvalContext.current()
    if context.device_id != target.device_id:
        remedy = f"use ndd.EvalContext(device_id={target.device_id})"
        raise ValueError(f"cannot mix on {target} in an EvalContext of gpu:{context.device_id}: {remedy}")
    with cupy.cuda.Device(target.device_id), borrowed_stream(context.cuda_stream.handle):
        yield


def _array(value: Any, name: str, target: ndd.Device) -> Array:
    """The whole batch on `target`, uncopied if it is there; None stays None."""
    if value is None:
        return None
    if isinstance(value, ndd.Batch):
        _check_uniform(name, value)
        value = ndd.as_tensor(value)
    elif not hasattr(value, "__dlpack_device__"):
        value = _as_numpy(value, name)
    if not _is_on(target, value):
        value = ndd.as_tensor(value).to_device(target)
    return value if isinstance(value, np.ndarray) else _from_dlpack(value, target)


def _as_numpy(value: Any, name: str) -> np.ndarray:
    try:
        array = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be an array, one entry for each image, but: {error}") from error
    if array.dtype.hasobject:
        raise TypeError(f"{name} must be an array of numbers, got {type(value).__name__}")
    return array


def _from_dlpack(value: Any, target: ndd.Device) -> Array:
    if target.device_type == "cpu":
        return np.from_dlpack(value)
    import cupy

    return cupy.from_dlpack(value)


def _check_uniform(name: str, batch: ndd.Batch) -> None:
    shapes = batch.shape
    other = next((shape for shape in shapes if shape != shapes[0]), None)
    if other is not None:
        raise unequal(name, shapes[0], other)


def _is_on(target: ndd.Device, value: Any) -> bool:
    kind, number = value.__dlpack_device__()
    if int(kind) in HOST:
        return bool(target.device_type == "cpu")
    return bool(target.device_type == "gpu" and target.device_id == number)


def _batch(array: Array, layout: str, target: ndd.Device) -> ndd.Batch:
    if target.device_type == "cpu":
        return ndd.as_batch(array, layout=layout or None)
    return ndd.as_batch(ndd.tensor(Exported(array, SAME_STREAM)), layout=layout or None)
