"""The public functions on arrays. Each checks its arguments and calls the loops for the CPU or the CUDA kernels."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from dalimix import checks, containers, dispatch, values
from dalimix.arrays import Array
from dalimix.draws import Draws
from dalimix.erase import Erase
from dalimix.erase_plan import ErasePlan
from dalimix.methods import Method
from dalimix.mix_plan import MixPlan
from dalimix.pixels import check_erase, check_noise
from dalimix.scene import Scene
from dalimix.support import bfloat16
from dalimix.support.numbers import is_whole

PerChannel = float | Sequence[float]
MAX_BATCH = 1 << 20


def draw(method: Method, batch_size: int, rng: Any = None, erase: Erase | None = None) -> Draws:
    """Draw the random numbers of one batch, as NumPy arrays.

    Args:
        method: the method that is going to be planned.
        batch_size: B, from 1 to 1048576.
        rng: a `numpy.random.Generator`, a `torch.Generator`, a seed (a whole number from 0), or None for fresh entropy.
            Each call takes one 64-bit seed from a torch generator.
        erase: random erasing that is going to be planned, too; the method's numbers are the same without it.

    Raises:
        TypeError: `method` is not a mixing method, `rng` is not a generator, or `erase` is no `Erase`.
        ValueError: `batch_size` is out of range, or the seed is below 0.

    Examples:
        >>> draws = dalimix.draw(Mixup(alpha=0.8), batch_size=4, rng=0)
        >>> draws.lam.shape, bool(draws.lam.min() >= 0), bool(draws.lam.max() <= 1)
        ((4,), True, True)
    """
    checks.method(method)
    batch_size = checks.count("batch_size", batch_size, MAX_BATCH)
    check_erase(erase)
    generator = _numpy_generator(rng)
    draws = _draw(method, generator.permutation(batch_size).astype(np.int32), generator)
    return draws if erase is None else replace(draws, erase=_key(batch_size, generator))


def plan(
    method: Method,
    draws: Draws,
    size: int | tuple[int, int],
    heatmaps: Array | None = None,
    mirror: Array | None = None,
) -> MixPlan:
    """Decide where every image of a batch is mixed: a pure function of its arguments.

    Args:
        method: the method to plan.
        draws: its random numbers, as from `dalimix.draw`.
        size: (H, W) of the images in pixels, or one number for both.
        heatmaps: floating [B, h, w], finite, for methods that read them, of the images as they are handed in. They are
            resampled to the method's grid if theirs is another one.
        mirror: integer or bool [B]; the heatmaps of images with 1 are read flipped.

    Returns:
        The plan, on the device of the draws.

    Raises:
        TypeError: an array is neither NumPy's nor CuPy's, the arrays are of both, or a dtype is wrong.
        ValueError: shapes do not fit together; heatmaps are given to a method that reads none, or are missing for one
            that needs them; on the CPU, draws are out of their ranges or heatmaps are not finite in float32. On a GPU,
            which the host does not wait for, draws are brought into their ranges, and heatmaps that are not finite rank
            where they fall or make the label shares NaN.

    Examples:
        >>> draws = dalimix.draw(CutMix(), batch_size=4, rng=0)
        >>> plan = dalimix.plan(CutMix(), draws, size=(32, 32))
        >>> y0, x0, y1, x1 = plan.box[0].tolist()
        >>> float(plan.weight[0, 1]) == (y1 - y0) * (x1 - x0) / 32**2
        True
    """
    checks.method(method)
    checks.instance("draws", draws, Draws, "that of dalimix.draw")
    containers.check_draws(method, draws)
    batch = len(draws.partner)
    scene = Scene(checks.size(size), checks.heatmaps(method, heatmaps, batch), checks.mirror(mirror, batch))
    backend = dispatch.backend_of(*draws.arrays(), scene.heatmaps, scene.mirror)
    if backend.READS_VALUES:
        values.check_draws(draws)
        values.check_heatmaps(scene.heatmaps)
    dispatch.check_planners(backend, method)
    return MixPlan(*backend.PLANNERS[method.name](method, draws, scene).arrays(), size=scene.size)


def plan_erase(erase: Erase, draws: Draws, size: int | tuple[int, int]) -> ErasePlan:
    """Decide which boxes of every image of a batch are erased: a pure function of its arguments.

    Args:
        erase: what is to be erased, e.g. ``dalimix.Erase(prob=0.25)``.
        draws: as from ``dalimix.draw(method, batch_size, rng, erase)``.
        size: (H, W) of the images in pixels, or one number for both.

    Returns:
        The plan, on the device of the draws.

    Raises:
        TypeError: an argument is of another type, or ``draws.erase`` of another dtype.
        ValueError: the draws are without those of erasing, or `size` is not a size of images.

    Examples:
        >>> erase = Erase(prob=1.0, area=(0.25, 0.25), ratio=(1, 1))
        >>> draws = dalimix.draw(CutMix(), batch_size=4, rng=0, erase=erase)
        >>> erased = dalimix.plan_erase(erase, draws, size=32)
        >>> (erased.box[:, 0, 2:] - erased.box[:, 0, :2]).tolist()
        [[16, 16], [16, 16], [16, 16], [16, 16]]
    """
    checks.instance("erase", erase, Erase, "dalimix.Erase(prob=0.25)")
    checks.instance("draws", draws, Draws, "that of dalimix.draw")
    containers.check_erase_draws(draws)
    height, width = checks.size(size)
    erased: ErasePlan = dispatch.backend_of(draws.erase).erase(erase, draws.erase, (height, width))
    return replace(erased, size=(height, width))


def compose(
    images: Array,
    plan: MixPlan,
    mirror: Array | None = None,
    mean: PerChannel | None = None,
    std: PerChannel | None = None,
    dtype: Any = None,
    layout: checks.Layout = "HWC",
    output_layout: checks.Layout | None = None,
    erase: ErasePlan | None = None,
) -> Array:
    """Make the pixels of a planned batch: erase, paste and blend, mirror, normalise, cast and lay out, in one pass.

    Args:
        images: uint8, float16, bfloat16 or float32, [B, H, W, C] or [B, C, H, W], contiguous. Arrays in bfloat16 are
            those of the package ml_dtypes.
        plan: as from `dalimix.plan`.
        mirror: integer or bool [B]: images with 1 are flipped from left to right before they are mixed.
        mean: subtracted from each channel, in the units of the input; one number or C of them.
        std: each channel is divided by it; one number or C of them.
        dtype: of the output: uint8 (rounded to nearest, saturated), float16, bfloat16 or float32, by the name of any
            library. None: float32 if there is a mean or std and the images are uint8, else that of the images.
        layout: of the images, ``"HWC"`` or ``"CHW"``.
        output_layout: of the output; None: that of the images.
        erase: as from `dalimix.plan_erase`: what is erased of every image before it is mixed. Noise needs a floating
            output, and for uint8 images mean and std, after which it is standard normal.

    Returns:
        A new array. `images` is never modified.

    Raises:
        TypeError: an array is neither NumPy's nor CuPy's, the arrays are of both, or a dtype is not supported.
        ValueError: a layout is unknown, or contradicts the shape; the plan is for another batch size or other images;
            mean or std are not numbers for these channels, or are in other units than bytes; noise has no meaning in
            the units of the output. On the CPU, a plan reaches out of the batch or the images, or mean and std plainly
            do not fit the values of floating images.
            On a GPU, which the host does not wait for, such a plan is cut off at their borders.
        ModuleNotFoundError: the output is bfloat16, but ml_dtypes is not installed.

    Examples:
        >>> plan = dalimix.plan(CutMix(), dalimix.draw(CutMix(), batch_size=4, rng=0), size=32)
        >>> mixed = dalimix.compose(images, plan, mean=127.5, std=64.0, output_layout="CHW")
        >>> images.shape, mixed.shape, mixed.dtype
        ((4, 32, 32, 3), (4, 3, 32, 32), dtype('float32'))
    """
    checks.images(images, layout)
    bits = bfloat16.as_bits(images)
    return bfloat16.from_bits(compose_bits(bits, plan, mirror, mean, std, dtype, layout, output_layout, erase))


def compose_bits(
    images: Array,
    plan: MixPlan,
    mirror: Array | None,
    mean: PerChannel | None,
    std: PerChannel | None,
    dtype: Any,
    layout: checks.Layout,
    output_layout: checks.Layout | None,
    erase: ErasePlan | None,
) -> Array:
    """`compose` of images that are checked; those in bfloat16 are their bits, int16, on both sides."""
    checks.instance("plan", plan, MixPlan, "that of dalimix.plan")
    containers.check_plan(plan)
    checks.batch("plan", plan.partner, len(images))
    containers.check_plan_size(plan, images, layout)
    mirror = checks.mirror(mirror, len(images))
    scaling = checks.scaling(mean, std, images.shape[layout.index("C") + 1], images.dtype)
    dtype = checks.output_dtype(dtype, images.dtype, mean, std)
    output_layout = layout if output_layout is None else checks.layout(output_layout, "output_layout")
    hw, erasing = checks.image_size(images, layout), [] if erase is None else _checked_erase(erase, images, layout)
    if erase is not None:
        check_noise(erase.value, images.dtype, scaling is not None, dtype)
    backend = dispatch.backend_of(images, *plan.arrays(), mirror, *erasing)
    if backend.READS_VALUES:
        values.check_places(plan, hw)
        values.check_pixels(images, mean, std)
        if erase is not None:
            values.check_boxes("erase.box", erase.box, hw)
    return backend.compose(images, plan, mirror, scaling, dtype, layout, output_layout, erase)


def _checked_erase(erase: ErasePlan, images: Array, layout: str) -> list[Array]:
    """The arrays of the plan, if it is one for these images."""
    checks.instance("erase", erase, ErasePlan, "that of dalimix.plan_erase")
    containers.check_erase_plan(erase, len(images), checks.image_size(images, layout))
    return list(erase.arrays())


def soft_labels(
    labels: Array,
    plan: MixPlan,
    num_classes: int | None = None,
    smoothing: float = 0.0,
    form: Literal["dense", "pair"] = "dense",
) -> Array | tuple[Array, Array, Array]:
    """Make the targets of a planned batch.

    Args:
        labels: class indices, integer [B] or [B, 1]; or soft labels, floating [B, C].
        plan: as from `dalimix.plan`.
        num_classes: C; needed for integer labels in the dense form. In the pair form, class indices are checked against
            it on the CPU.
        smoothing: label smoothing s in [0, 1]: (1 − s)·y + s / C·(weight₀ + weight₁). Dense form only.
        form: ``"dense"``, or ``"pair"`` for losses that take two labels and their shares.

    Returns:
        Dense: float32 [B, C], weight₀·onehot(labelᵢ) + weight₁·onehot(labelⱼ). Pair: (labels, labels of the
        partners, float32 [B, 2] weights).

    Raises:
        TypeError: an array is neither NumPy's nor CuPy's, or the arrays are of both.
        ValueError: shapes do not fit together, `num_classes` is missing, or a label is outside 0 .. C − 1. On a GPU
            such a label makes its row NaN at once, and a later call raises the error, so that the host never waits
            for the device. On the CPU also: soft labels or shares of the plan are negative or not finite, or a partner
            is out of the batch, where a GPU takes the nearest image.

    Examples:
        >>> plan = dalimix.plan(Mixup(), dalimix.draw(Mixup(), batch_size=4, rng=0), size=32)
        >>> targets = dalimix.soft_labels(labels, plan, num_classes=3, smoothing=0.1)
        >>> targets.shape, bool(np.allclose(targets.sum(axis=1), 1))
        ((4, 3), True)
        >>> own, partners, weights = dalimix.soft_labels(labels, plan, form="pair")
    """
    checks.instance("plan", plan, MixPlan, "that of dalimix.plan")
    containers.check_plan(plan)
    labels = checks.labels(labels, len(plan.partner))
    smoothing = checks.form(form, smoothing)
    backend = dispatch.backend_of(labels, *plan.arrays())
    classes = None if form == "pair" and num_classes is None else checks.num_classes(num_classes, labels)
    if backend.READS_VALUES:
        values.check_shares(plan)
        values.check_labels(labels, classes)
    if form == "pair":
        return backend.pair_labels(labels, plan)
    return backend.soft_labels(labels, plan, classes, smoothing)


def _draw(method: Method, permutation: Array, generator: np.random.Generator) -> Draws:
    size = len(permutation)
    lam = None
    if method.beta is not None:
        lam = generator.beta(method.beta, method.beta, size).astype(np.float32)
    uniform = generator.random((size, method.uniforms + 1), dtype=np.float32)
    key = _key(size, generator) if method.keyed else None
    members = tuple(_draw(member, permutation, generator) for member in method.members)
    return Draws(permutation, lam, uniform, members, key)


def _key(size: int, generator: np.random.Generator) -> Array:
    return generator.integers(0, 1 << 32, (size, 2), np.uint32)


def _numpy_generator(rng: Any) -> np.random.Generator:
    if rng is None or isinstance(rng, np.random.Generator):
        return np.random.default_rng(rng)
    torch = sys.modules.get("torch")  # whoever has a torch generator has imported torch
    if torch is not None and isinstance(rng, torch.Generator):
        return np.random.default_rng(int(torch.randint(2**63 - 1, (1,), generator=rng, device=rng.device)))
    if not is_whole(rng):
        expected = "a numpy.random.Generator, a torch.Generator, a whole number as the seed, or None"
        raise TypeError(f"rng must be {expected}, got {rng!r}: numpy.random.default_rng(0) makes one")
    if rng < 0:
        raise ValueError(f"rng must be a seed from 0, got {rng}")
    return np.random.default_rng(int(rng))
