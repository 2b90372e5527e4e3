"""Checks of draws and plans: types, shapes and strides of their arrays, as the kernels read them. No value is read."""

from __future__ import annotations

import numpy as np

from dalimix import checks
from dalimix.arrays import Array, array_module
from dalimix.draws import Draws
from dalimix.erase_plan import ErasePlan
from dalimix.methods import Method
from dalimix.mix_plan import MixPlan

UINT8, INT32, UINT32, FLOAT32 = (np.dtype(name) for name in ("uint8", "int32", "uint32", "float32"))
MAX_PRODUCT = (1 << 31) - 1  # of a side of an image and a side of a grid, in the kernels' integers
PLAN_FIELDS: tuple[tuple[str, np.dtype, tuple[int, ...]], ...] = (
    ("partner", INT32, ()),
    ("weight", FLOAT32, (2,)),
    ("blend", FLOAT32, ()),
    ("box", INT32, (4,)),
    ("shift", INT32, (2,)),
)


def check_draws(method: Method, drawn: Draws) -> None:
    """Check that every array is as the kernels read it."""
    size, reader = _batch_size("draws.partner", drawn.partner), type(method).__name__
    _exact("draws.partner", drawn.partner, INT32, (size,), reader)
    _exact("draws.uniform", drawn.uniform, FLOAT32, (size, method.uniforms + 1), reader)
    if method.beta is not None or drawn.lam is not None:
        _exact("draws.lam", drawn.lam, FLOAT32, (size,), reader)
    if method.keyed or drawn.key is not None:
        _exact("draws.key", drawn.key, UINT32, (size, 2), reader)
    if drawn.erase is not None:
        _exact("draws.erase", drawn.erase, UINT32, (size, 2))
    if len(drawn.members) != len(method.members):
        raise ValueError(f"draws are of {len(drawn.members)} methods, but {len(method.members)} are to be planned")
    for member, of_member in zip(method.members, drawn.members, strict=True):
        check_draws(member, of_member)
        checks.batch("draws.members", of_member.partner, size)


def check_erase_draws(drawn: Draws) -> None:
    """Check the key of every image, as the kernels read it."""
    if drawn.erase is None:
        raise ValueError("draws are without those of erasing: dalimix.draw(…, erase=erase) draws them")
    size = _batch_size("draws.partner", drawn.partner)
    _exact("draws.erase", drawn.erase, UINT32, (size, 2))


def check_erase_plan(plan: ErasePlan, size: int, hw: tuple[int, int]) -> None:
    """Check that every array is as the kernels read it, and that the plan is for images of these sizes."""
    array_module(plan.box, "erase.box")
    if plan.box.ndim != 3:
        raise ValueError(f"erase.box must be [{size}, boxes, 4], got {list(plan.box.shape)}")
    _exact("erase.box", plan.box, INT32, (size, plan.box.shape[1], 4))
    _exact("erase.key", plan.key, UINT32, (size, 2))
    if plan.size not in (None, hw):
        raise ValueError(f"erase is for images of {plan.size} pixels, but images are {hw}")


def check_plan(plan: MixPlan) -> None:
    """Check that every array is as the kernels read it."""
    size = _batch_size("plan.partner", plan.partner)
    for field, dtype, rest in PLAN_FIELDS:
        _exact(f"plan.{field}", getattr(plan, field), dtype, (size, *rest))
    if plan.tokens is not None:
        _tokens(plan.tokens, size)


def _tokens(tokens: Array, size: int) -> None:
    array_module(tokens, "plan.tokens")
    grid = tokens.shape[1:]
    if len(grid) != 2 or min(grid) < 1:
        raise ValueError(f"plan.tokens must be [{size}, rows, columns], got {list(tokens.shape)}")
    _exact("plan.tokens", tokens, UINT8, (size, *grid))


def _batch_size(name: str, partner: Array) -> int:
    array_module(partner, name)
    if partner.ndim != 1 or not len(partner):
        raise ValueError(f"{name} must have one entry for each image, got shape {list(partner.shape)}")
    return len(partner)


def _exact(name: str, array: Array | None, dtype: np.dtype, shape: tuple[int, ...], reader: str = "") -> None:
    """Check dtype, shape and strides, since the kernels take the memory as it is.

    `reader` is the method that needs the array, if it is needed by one.
    """
    what = f"{reader} needs {name}" if reader else f"{name} must be"
    if array is None:
        raise ValueError(f"{what} of {list(shape)}, got None")
    array_module(array, name)
    if array.shape != shape:
        raise ValueError(f"{what} of {list(shape)}, got {list(array.shape)}")
    if array.dtype != dtype:
        raise TypeError(f"{what} of {dtype}, got {array.dtype}")
    if not array.flags.c_contiguous:
        raise ValueError(f"{what} contiguous, got strides {array.strides}")


def check_plan_size(plan: MixPlan, images: Array, layout: str) -> None:
    hw, grid = checks.image_size(images, layout), () if plan.tokens is None else plan.tokens.shape[1:]
    if plan.size not in (None, hw):
        raise ValueError(f"plan is for images of {plan.size} pixels, but images are {hw}")
    if any((n + 1) * g > MAX_PRODUCT for n, g in zip(hw, grid, strict=False)):
        raise ValueError(f"plan.tokens has a grid of {grid}, too fine for images of {hw} pixels")
