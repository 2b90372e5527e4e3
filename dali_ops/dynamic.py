"""Mixing in DALI's dynamic mode, `nvidia.dali.experimental.dynamic`, called ndd here.

Dynamic mode has no Python operators, and needs none: its batches become arrays, uncopied, and arrays become batches.

**Lifetime on the GPU.** All work is queued on the stream of ndd's evaluation context. DALI frees what it exports by
DLPack, as in ``batch.torch()``, when the GPU is done with all that was queued before it came back (DLTensorGraveyard
in its sources); so no batch changes under a slow consumer, and no input under the kernels. Still, every output is
copied once into DALI's memory, on the same stream, in whose order CuPy reuses its own. The reason is that DALI frees in
another thread: for CuPy's memory that thread needs Python's lock, and a process that ends while a thread waits for that
lock is aborted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal

import numpy as np
import nvidia.dali.experimental.dynamic as ndd
from nvidia.dali.experimental.dynamic.capture._invariant import is_invariant

from dali_ops.device import check_device, device_number, usable_device
from dali_ops.lifetime import OneProcess
from dali_ops.operators.bridge import Exported
from dali_ops.operators.draws import WORDS, draw_by
from dali_ops.operators.mix import one_mirror
from dali_ops.operators.mixer import Mixer
from dali_ops.operators.model_heatmaps import refuse_model
from dali_ops.operators.nodes import check_labels, layout_of_images, unequal
from dali_ops.operators.pixels import PerChannel, Pixels
from dali_ops.operators.targets import Targets
from dalimix import Draws, Erase, Method, checks, containers, dispatch, values
from dalimix.arrays import Array
from dalimix.cuda.stream import borrowed_stream
from dalimix.pixels import check_erase

HOST = (1, 3)  # DLPack's numbers of memory of the CPU, pageable and pinned
MAX_BATCH = 2**31 - 1  # DALI counts samples in int32
SAME_STREAM = -1  # DLPack's number for a stream that need not wait

_PROCESS = OneProcess("dynamic mode", "use it in one process, or start the other one by spawn")


def draw(method: Method, batch_size: int, rng: ndd.random.RNG | None = None, erase: Erase | None = None) -> Draws:
    """Draw the random numbers of one batch by DALI's operators.

    Args:
        method: the method that is going to mix.
        batch_size: B, from 1.
        rng: a generator of dynamic mode; None: the thread's default one, whose seed
            ``ndd.random.set_seed`` sets.
        erase: random erasing that comes with it; the method's numbers are the same without it.

    Returns:
        `dalimix.Draws` of batches on the CPU.

    Raises:
        TypeError: `method` is not a mixing method, `rng` is not a generator of dynamic mode, or `erase` is no `Erase`.
        ValueError: `batch_size` is below 1.

    Examples:
        >>> draws = dynamic.draw(CutMix(), batch_size=4, rng=ndd.random.RNG(seed=0))
        >>> draws.uniform.batch_size, draws.uniform.shape[0]
        (4, (3,))
    """
    _PROCESS.check()
    _check_unmarked(method=method, erase=erase)
    checks.method(method)
    batch_size = checks.count("batch_size", batch_size, MAX_BATCH)
    checks.kind("rng", rng, (ndd.random.RNG, type(None)), "an ndd.random.RNG")
    check_erase(erase)

    def random(operator: Callable[..., Any], *inputs: Any, **arguments: Any) -> Any:
        return operator(*inputs, batch_size=batch_size, rng=rng, **arguments)

    return draw_by(ndd, WORDS, method, random, erase)


def mix(
    batch: ndd.Batch,
    labels: Any,
    method: Method,
    *,
    num_classes: int | None = None,
    heatmaps: Any = None,
    erase: Erase | None = None,
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

    It is `dali_ops.mix` for dynamic mode: with the same draws it gives the same numbers. All inputs but the images
    may be batches, or arrays or tensors of NumPy, CuPy, torch or DALI with the batch as their first dimension.

    In a loop with ``reader.next_epoch(batch_size, capture=True)`` DALI makes a pipeline of its own operators, which
    works ahead; this function draws and mixes in the loop, with the same numbers as without capture. From a generator
    of captured operators, such as random crops, every step must draw as many numbers as the first one, or DALI stops
    with an error: give this function an `rng` of its own there, and steps may mix by another method, or not at all.

    Args:
        batch: a `Batch` of images, uint8, float16 or float32, [H, W, C] or [C, H, W], all of one size.
        labels: integer class indices, scalars or [1]; or soft labels, floating [C].
        method: e.g. ``dalimix.CutMix()``.
        num_classes: C; needed for integer labels in the dense form.
        heatmaps: floating [h, w], for methods that read them: of the images as they come, not mirrored.
        erase: as in `dali_ops.mix`.
        mirror: integer per sample, 1 to flip from left to right before mixing; or one integer for all.
        mean, std, dtype, smoothing, form: as in `dali_ops.mix`; dtype may also be one of dynamic mode. For
            bfloat16, ``images.torch().view(torch.bfloat16)`` reads the bits.
        layout: of the images, ``"HWC"`` or ``"CHW"``; None: that of the batch, or ``"HWC"`` if it has none.
        output_layout: of the output; None: that of the images.
        return_plan: return the plan, too.
        draws: the random numbers, as from `draw` or `dalimix.draw`; None: new ones.
        rng: for new ones, as in `draw`.
        device: ``"cpu"``, ``"gpu"``, ``"cuda:1"``, or a device of torch or of dynamic mode; None: that of the images.
            On a GPU the work is queued on the stream of the current ``ndd.EvalContext``, whose device it must be.

    Returns:
        ``(images, targets)``, or with `return_plan` ``(images, targets, plan)``, all of them batches. Images have their
        layout. Dense targets are float32 [C]; pairs are ``(label, label of the partner, weight)``, weight float32 [2].
        The plan is a `dalimix.MixPlan` of batches.

    Raises:
        TypeError, ValueError: arguments are out of range or marked for capture, or the data do not fit.
        ModuleNotFoundError: a GPU without CuPy.

    Examples:
        >>> batch = ndd.as_batch(images, layout="HWC")  # as from a reader and decoders of dynamic mode
        >>> mixed, targets = dynamic.mix(batch, labels, CutMix(), num_classes=3, output_layout="CHW")
        >>> mixed.layout, mixed.shape[0], targets.shape[0]
        ('CHW', (3, 32, 32), (3,))
    """
    _PROCESS.check()
    others = {"heatmaps": heatmaps, "erase": erase, "mirror": mirror, "mean": mean, "std": std, "draws": draws}
    _check_unmarked(method=method, labels=labels, **others)
    _check(batch, labels, method, heatmaps, layout)
    own = layout_of_images(layout, batch.layout or "", (batch.batch_size, *batch.shape[0]), "batch")
    mixer = Mixer(
        method=method,
        num_classes=num_classes,
        targets=Targets(smoothing, form),
        pixels=Pixels(mean=mean, std=std, dtype=dtype, layout=own, output_layout=output_layout),
        with_heatmaps=heatmaps is not None,
        mirrored=mirror is not None,
        return_plan=return_plan,
        erase=erase,
        threads=ndd.EvalContext.current().num_threads,
        calls="ndd",
    )
    target = _target(batch, device)
    drawn = draw(method, batch.batch_size, rng, erase) if draws is None else _replayed(draws, rng)
    with _queue(target):
        put = partial(_array, target=target)
        images, numbers = put(batch, "batch"), drawn.mapped(partial(put, name="draws"))
        _check_draws(method, numbers, erase)
        checks.batch("draws", numbers.partner, len(images))
        given = [put(labels, "labels"), put(heatmaps, "heatmaps"), put(_mirrors(mirror, len(images)), "mirror")]
        if isinstance(labels, ndd.Batch):
            check_labels(given[0], "ndd")
        arrays = mixer.outputs(images, given[0], numbers, given[1], given[2], own)
        layouts = [output_layout or own, *[""] * (len(arrays) - 1)]
        return mixer.packed([_batch(*output, target) for output in zip(arrays, layouts, strict=True)])


def _check_unmarked(**given: Any) -> None:
    """Refuse what is marked for capture: a stand-in, which loops and kernels do not take for what it stands for."""
    remedy = "give it unmarked, since what mixes is not captured, and may be another one in every step"
    for name in filter(lambda name: is_invariant(given[name]), given):
        raise TypeError(f"{name} is marked as invariant for DALI's capture: {remedy}")


def _check(batch: Any, labels: Any, method: Any, heatmaps: Any, layout: Any) -> None:
    if not isinstance(batch, ndd.Batch):
        expected = 'a Batch of dynamic mode, such as ndd.as_batch(images, layout="HWC")'
        raise TypeError(f"batch must be {expected}, got {type(batch).__name__}")
    checks.method(method)
    checks.heatmaps_wanted(method, heatmaps is not None, f"heatmaps=[{batch.batch_size}, h, w], one map for each image")
    _check_heatmaps(heatmaps)
    checks.layouts(layout=layout)
    if labels is None:
        raise TypeError("labels must be class indices or soft labels, got None")
    if not batch.batch_size:
        raise ValueError("batch must hold at least one image")


def _check_heatmaps(heatmaps: Any) -> None:
    """Refuse a model or a provider in the place of heatmaps."""
    refuse_model("heatmaps", heatmaps, "give what a provider returns, called with the images as a tensor [B, C, H, W]")
    if callable(heatmaps):
        raise TypeError(f"heatmaps must be an array [B, h, w], got {type(heatmaps).__name__}: "
                        "if that is a provider, call it with the images as a tensor [B, C, H, W]")  # fmt: skip


def _mirrors(mirror: Any, count: int) -> Any:
    """Return one value for each image."""
    one_for_all = isinstance(mirror, (int, np.integer, np.bool_))
    return np.full(count, one_mirror(mirror), np.int32) if one_for_all else mirror


def _replayed(draws: Draws, rng: Any) -> Draws:
    if not isinstance(draws, Draws):
        raise TypeError(f"draws must be a dalimix.Draws, as dali_ops.dynamic.draw makes it, got {type(draws).__name__}")
    if rng is not None:
        raise ValueError("rng is for new random numbers, but draws are given")
    return draws


def _check_draws(method: Method, draws: Draws, erase: Erase | None) -> None:
    containers.check_draws(method, draws)
    if erase is not None:
        containers.check_erase_draws(draws)
    if dispatch.backend_of(*draws.arrays()).READS_VALUES:
        values.check_draws(draws)


def _target(batch: ndd.Batch, device: Any) -> ndd.Device:
    device = batch.device if device is None else device
    if isinstance(device, ndd.Device):
        check_device(device.device_type)
        return device
    return ndd.Device(usable_device(device), device_number(device))


@contextmanager
def _queue(target: ndd.Device) -> Iterator[None]:
    """On a GPU, make ndd's stream CuPy's current one."""
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
    """Return the whole batch on `target`, uncopied if it is already there; None stays None."""
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
