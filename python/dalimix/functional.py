"""The public functions on arrays. Each checks what came and hands it to the NumPy twin or the CUDA kernels."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from dalimix import checks, containers, values
from dalimix.arrays import Array
from dalimix.dispatch import backend_of
from dalimix.draws import Draws
from dalimix.methods import Method
from dalimix.mix_plan import MixPlan
from dalimix.scene import Scene
from dalimix.support.numbers import is_whole

PerChannel = float | Sequence[float]
MAX_BATCH = 1 << 20


def draw(method: Method, batch_size: int, rng: Any = None) -> Draws:
    """Draw the random numbers of one batch, as NumPy arrays.

    Args:
        method: what is going to be planned.
        batch_size: B, from 1 to 1048576.
        rng: `numpy.random.Generator`, `torch.Generator`, a whole number from 0 as the seed, or None for fresh entropy.
            From a torch generator one 64-bit seed is taken per call.

    Raises:
        TypeError: `method` is no mixing method, or `rng` no generator.
        ValueError: `batch_size` is out of range, or the seed below 0.
    """
    checks.method(method)
    checks.counts(batch_size=batch_size)
    if batch_size > MAX_BATCH:
        raise ValueError(f"batch_size must be at most {MAX_BATCH}, got {batch_size}")
    generator = _numpy_generator(rng)
    return _draw(method, generator.permutation(batch_size).astype(np.int32), generator)


def plan(
    method: Method,
    draws: Draws,
    size: int | tuple[int, int],
    heatmaps: Array | None = None,
    mirror: Array | None = None,
) -> MixPlan:
    """Decide where every image of a batch is mixed: a pure function of its arguments.

    Args:
        method: what to plan.
        draws: its random numbers, as from `dalimix.draw`.
        size: (H, W) of the images in pixels; or one number for both.
        heatmaps: floating [B, h, w], finite, for methods that read them, of the images as they are handed in. Those of
            another grid than the method's are brought to it.
        mirror: integer or bool [B]; the heatmaps of images with 1 are read flipped.

    Returns:
        The plan, on the device of the draws.

    Raises:
        TypeError: arrays that are neither NumPy's nor CuPy's, or of both, or of another dtype.
        ValueError: shapes that do not fit together; heatmaps for a method that reads none, or none for one that needs
            them; on the CPU, draws out of their ranges and heatmaps that are not finite in float32. On a GPU, which the
            host does not wait for, draws are brought into their ranges, and what is not finite ranks where it falls or
            makes the label shares NaN.
    """
    checks.method(method)
    checks.instance("draws", draws, Draws, "that of dalimix.draw")
    containers.check_draws(method, draws)
    batch = len(draws.partner)
    scene = Scene(checks.size(size), checks.heatmaps(method, heatmaps, batch), checks.mirror(mirror, batch))
    backend = backend_of(*draws.arrays(), scene.heatmaps, scene.mirror)
    if backend.READS_VALUES:
        values.check_draws(draws)
        values.check_heatmaps(scene.heatmaps)
    return MixPlan(*backend.PLANNERS[method.name](method, draws, scene).arrays(), size=scene.size)


def compose(
    images: Array,
    plan: MixPlan,
    mirror: Array | None = None,
    mean: PerChannel | None = None,
    std: PerChannel | None = None,
    dtype: Any = None,
    layout: checks.Layout = "HWC",
    output_layout: checks.Layout | None = None,
) -> Array:
    """Make the pixels of a planned batch: paste and blend, mirror, normalise, cast and lay out, in one pass.

    Args:
        images: uint8, float16 or float32, [B, H, W, C] or [B, C, H, W], contiguous.
        plan: from `dalimix.plan`.
        mirror: integer or bool [B]: flip images with 1 from left to right, before they are mixed.
        mean: subtracted from each channel, in units of the input; one number or C of them.
        std: each channel is divided by it; one number or C of them.
        dtype: of the output: uint8 (rounded to nearest, saturated), float16 or float32. None: float32 if there is
            a mean or std and the images are uint8, else that of the images.
        layout: of the images, ``"HWC"`` or ``"CHW"``.
        output_layout: likewise; None: that of the images.

    Returns:
        A new array. `images` is never modified.

    Raises:
        TypeError: arrays that are neither NumPy's nor CuPy's, or of both; an unsupported dtype.
        ValueError: an unsupported layout, or one that the shape contradicts; a plan for another batch size or size of
            images; means or stds that are no numbers for these channels, or of other units than bytes. On the CPU, a
            plan that reaches out of the batch or the images, and means or stds that plainly do not fit the values of
            floating images. On a GPU, which the host does not wait for, such a plan is cut off at their borders.
    """
    checks.images(images, layout)
    checks.instance("plan", plan, MixPlan, "that of dalimix.plan")
    containers.check_plan(plan)
    checks.batch("plan", plan.partner, len(images))
    containers.check_plan_size(plan, images, layout)
    mirror = checks.mirror(mirror, len(images))
    scaling = checks.scaling(mean, std, images.shape[layout.index("C") + 1], images.dtype)
    dtype = checks.output_dtype(dtype, images.dtype, mean, std)
    output_layout = layout if output_layout is None else checks.layout(output_layout, "output_layout")
    backend = backend_of(images, *plan.arrays(), mirror)
    if backend.READS_VALUES:
        values.check_places(plan, checks.image_size(images, layout))
        values.check_pixels(images, mean, std)
    return backend.compose(images, plan, mirror, scaling, dtype, layout, output_layout)


def soft_labels(
    labels: Array,
    plan: MixPlan,
    num_classes: int | None = None,
    smoothing: float = 0.0,
    form: Literal["dense", "pair"] = "dense",
) -> Array | tuple[Array, Array, Array]:
    """The targets of a planned batch.

    Args:
        labels: class numbers, integer [B] or [B, 1]; or labels that are soft already, floating [B, C].
        plan: from `dalimix.plan`.
        num_classes: C; needed for integer labels in the dense form. In the pair form, class numbers are checked against
            it on the CPU.
        smoothing: label smoothing s in [0, 1]: (1 − s)·y + s / C·(weight₀ + weight₁). Dense form only.
        form: ``"dense"``, or ``"pair"`` for losses that take two labels and their shares.

    Returns:
        Dense: float32 [B, C], weight₀·onehot(labelᵢ) + weight₁·onehot(labelⱼ). Pair: (labels, labels of the
        partners, float32 [B, 2] weights).

    Raises:
        TypeError: arrays that are neither NumPy's nor CuPy's, or of both.
        ValueError: shapes that do not fit together, `num_classes` missing, a label outside 0 .. C − 1. On the
            GPU such a label turns its row into NaN at once, and a later call raises the error, so that the host
            never waits for the device. On the CPU, soft labels or shares of the plan that are not finite, and partners
            out of the batch, which a GPU takes for the nearest image.
    """
    checks.instance("plan", plan, MixPlan, "that of dalimix.plan")
    containers.check_plan(plan)
    labels = checks.labels(labels, len(plan.partner))
    checks.form(form, smoothing)
    backend = backend_of(labels, *plan.arrays())
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
    key = generator.integers(0, 1 << 32, (size, 2), np.uint32) if method.keyed else None
    members = tuple(_draw(member, permutation, generator) for member in method.members)
    return Draws(permutation, lam, uniform, members, key)


def _numpy_generator(rng: Any) -> np.random.Generator:
    if rng is None or isinstance(rng, np.random.Generator):
        return np.random.default_rng(rng)
    torch = sys.modules.get("torch")  # who has a generator of it has imported it
    if torch is not None and isinstance(rng, torch.Generator):
        return np.random.default_rng(int(torch.randint(2**63 - 1, (1,), generator=rng, device=rng.device)))
    if not is_whole(rng):
        expected = "a numpy.random.Generator, a torch.Generator, a whole number as the seed, or None"
        raise TypeError(f"rng must be {expected}, got {rng!r}: numpy.random.default_rng(0) makes one")
    if rng < 0:
        raise ValueError(f"rng must be a seed from 0, got {rng}")
    return np.random.default_rng(int(rng))
