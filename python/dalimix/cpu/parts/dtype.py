"""The loops of kernels/include/dtype.cuh for the CPU: exact ways from the elements of images to float32 and back.

Numba has no float16 on the CPU, so its images are handed over as their bits, uint16. The processor converts them; where
it cannot, integer arithmetic does. The bits of bfloat16, int16, are the upper ones of a float32: always integers, since
those processors that convert it take subnormal numbers for 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

FLOAT, HALF, BITS, WORD = ir.FloatType(), ir.HalfType(), ir.IntType(16), ir.IntType(32)
WIDEST = 113 << 23  # the bits of 2⁻¹⁴, the smallest normal float16
SUBNORMAL = 126 << 23  # the bits of 0.5: whatever is added to it is rounded to a multiple of 2⁻²⁴


def bits(images: np.ndarray) -> np.ndarray:
    """Return the images as the loops take them."""
    return images.view(np.uint16) if images.dtype == np.float16 else images


@intrinsic
def to_float(context: Any, value: Any) -> Any:
    """Return the float32 of an element."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if value == types.uint8:
            return builder.uitofp(arguments[0], FLOAT)
        if value == types.float32:
            return arguments[0]
        if value == types.int16:
            return _of_bfloat16(builder, arguments[0])
        if _converts(context):
            return builder.fpext(builder.bitcast(arguments[0], HALF), FLOAT)
        return context.compile_internal(builder, widened, types.float32(types.uint16), arguments)

    return types.float32(value), code


@intrinsic
def from_float(context: Any, value: Any, like: Any, source: Any) -> Any:
    """Return the element of a float32, of the type of `like`; `source` is one that the value was made of."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if like == types.uint8:
            return _byte(builder, arguments[0])
        if like == types.float32:
            return arguments[0]
        if like == types.int16:
            return _to_bfloat16(builder, arguments[0], source != types.uint8)
        if _converts(context):
            return builder.bitcast(builder.fptrunc(arguments[0], HALF), BITS)
        return context.compile_internal(builder, narrowed, types.uint16(types.float32), arguments[:1])

    return like(value, like, source), code


def _converts(context: Any) -> bool:
    """Whether the processor that code is made for converts float16; elsewhere LLVM would call what is not there."""
    triple, _, features = context.codegen().magic_tuple()
    return not triple.startswith(("x86", "i")) or "+f16c" in features


def _byte(builder: Any, value: Any) -> Any:
    """Nearest, ties to even, saturated; NaN becomes 0."""
    low, high = ir.Constant(FLOAT, 0.0), ir.Constant(FLOAT, 255.0)
    value = builder.select(builder.fcmp_ordered(">", value, low), value, low)
    value = builder.select(builder.fcmp_ordered("<", value, high), value, high)
    return builder.fptoui(builder.call(builder.module.declare_intrinsic("llvm.rint", [FLOAT]), [value]), ir.IntType(8))


def _of_bfloat16(builder: Any, bits: Any) -> Any:
    return builder.bitcast(builder.shl(builder.zext(bits, WORD), WORD(16)), FLOAT)


def _to_bfloat16(builder: Any, value: Any, may_be_nan: bool) -> Any:
    """The bits of the nearest bfloat16, ties to even.

    A NaN that was calculated is a quiet one, whose upper bits are a NaN, too. What is made of bytes is none.
    """
    bits = builder.bitcast(value, WORD)
    odd = builder.icmp_unsigned("!=", builder.and_(bits, WORD(1 << 16)), WORD(0))
    added = builder.select(odd, WORD(0x8000), WORD(0x7FFF))
    if may_be_nan:
        added = builder.and_(added, builder.sext(builder.fcmp_ordered("ord", value, value), WORD))
    return builder.trunc(builder.lshr(builder.add(bits, added), WORD(16)), BITS)


def widened(half: int) -> float:
    """Return the float32 of a float16's bits, by integers; for compiled loops only."""
    magnitude = np.uint32(half & 0x7FFF)
    value = as_bits(as_float(np.uint32(magnitude << 13)) * as_float(np.uint32(239 << 23)))  # the latter is 2¹¹²
    value = value | (255 << 23) if magnitude >= 0x7C00 else value  # infinity and NaN
    return as_float(np.uint32(value | (half & 0x8000) << 16))


def narrowed(value: float) -> int:
    """Return the bits of the nearest float16, ties to even, by integers; for compiled loops only."""
    sign = as_bits(value) & 0x80000000
    magnitude = as_bits(value) ^ sign
    if magnitude >= 143 << 23:  # 2¹⁶ or more, or NaN
        half = 0x7E00 if magnitude > 255 << 23 else 0x7C00
    elif magnitude < WIDEST:
        half = as_bits(as_float(np.uint32(magnitude)) + np.float32(0.5)) - SUBNORMAL
    else:
        half = magnitude - (112 << 23) + 0xFFF + (magnitude >> 13 & 1) >> 13
    return np.uint16(half | sign >> 16)


@intrinsic
def as_bits(context: Any, value: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], WORD)

    return types.uint32(types.float32), code


@intrinsic
def as_float(context: Any, value: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], FLOAT)

    return types.float32(types.uint32), code
