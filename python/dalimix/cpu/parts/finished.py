"""The end of kernels/compose.cu for the CPU: from lines of pixels to a row of the output.

A second line that is None costs nothing: the compiler makes one version of each loop with it and one without.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

from dalimix.cpu.compiled import inlined
from dalimix.cpu.parts.dtype import from_float, to_float

Line = np.ndarray | None


@inlined
def finish(
    first: np.ndarray,  # [planes, W * items]
    second: Line,  # likewise; None: `first` alone
    keep: float,
    scale: np.ndarray,  # float32 [planes, W * items]
    bias: np.ndarray,
    width: int,
    y: int,
    start: int,
    stop: int,
    output: np.ndarray,  # [planes of its layout, H, W * items of its layout]
) -> None:
    """Write pixels start … stop − 1 of row y: keep · first + (1 − keep) · second, normalised, cast and laid out."""
    planes, items = len(first), first.shape[1] // width
    low, high = start * items, stop * items
    if planes == len(output):
        for p in range(planes):
            of_second, s, t = _part(second, p, low, high), scale[p, low:high], bias[p, low:high]
            _finish_run(first[p, low:high], of_second, keep, s, t, output[p, y, low:high])
    elif items == 3:
        of_second, s, t = _part(second, 0, low, high), scale[0, 0:3], bias[0, 0:3]
        red, green, blue = output[0, y, start:stop], output[1, y, start:stop], output[2, y, start:stop]
        _finish_three_planes(first[0, low:high], of_second, keep, s, t, red, green, blue)
    else:
        _finish_by_channels(first, second, keep, scale, bias, width, y, start, stop, output)


@inlined
def _finish_by_channels(
    first: np.ndarray,
    second: Line,
    keep: float,
    scale: np.ndarray,
    bias: np.ndarray,
    width: int,
    y: int,
    start: int,
    stop: int,
    output: np.ndarray,
) -> None:
    """Change the layout of any number of channels, with `finish`'s arguments."""
    planes, length = first.shape
    items, target_items = length // width, output.shape[2] // width
    for c in range(max(planes, items)):
        p, at, q, target_at = (0, c, c, 0) if planes == 1 else (c, 0, 0, c)
        line, of_second = first[p], _part(second, p, 0, length)
        of_scale, of_bias, target = scale[p], bias[p], output[q, y]
        for x in range(start, stop):
            k = x * items + at
            to = x * target_items + target_at
            target[to] = _finished(line, of_second, keep, of_scale, of_bias, k, k, target[to])


@intrinsic
def _part(context: Any, values: Any, p: Any, start: Any, stop: Any) -> Any:
    """Elements start … stop − 1 of row p, as a view; None of None."""
    if not isinstance(values, types.Array):
        return types.none(values, p, start, stop), lambda context, *_: context.get_dummy_value()
    result = types.Array(values.dtype, 1, "C")

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        row = context.make_array(values)(context, builder, arguments[0])
        p, start, stop = (context.cast(builder, arguments[k], signature.args[k], types.intp) for k in (1, 2, 3))
        place = cgutils.get_item_pointer(context, builder, values, row, [p, start])
        view, length = context.make_array(result)(context, builder), builder.sub(stop, start)
        populate_array(view, place, [length], [row.itemsize], row.itemsize, meminfo=None)
        return view._getvalue()

    return result(values, p, start, stop), code


@intrinsic
def row_or_line(context: Any, image: Any, y: Any, line: Any, in_image: Any) -> Any:
    """Row y of an image [1, H, W * items] as a line [1, W * items], only to be read, if `in_image`; else the line."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pixels = context.make_array(image)(context, builder, arguments[0])
        own = context.make_array(line)(context, builder, arguments[2])
        zero = context.get_constant(types.intp, 0)
        row = context.cast(builder, arguments[1], signature.args[1], types.intp)
        place = cgutils.get_item_pointer(context, builder, image, pixels, [zero, row, zero])
        own.data = builder.select(arguments[3], place, own.data)
        return own._getvalue()

    return line(image, y, line, in_image), code


@inlined
def _finish_run(
    first: np.ndarray, second: Line, keep: float, scale: np.ndarray, bias: np.ndarray, target: np.ndarray
) -> None:
    for k in range(len(target)):
        target[k] = _finished(first, second, keep, scale, bias, k, k, target[k])


@inlined
def _finish_three_planes(
    first: np.ndarray,
    second: Line,
    keep: float,
    scale: np.ndarray,
    bias: np.ndarray,
    red: np.ndarray,
    green: np.ndarray,
    blue: np.ndarray,
) -> None:
    """The commonest case, written so that the compiler takes the channels apart in registers."""
    for x in range(len(red)):
        red[x] = _finished(first, second, keep, scale, bias, 3 * x, 0, red[x])
        green[x] = _finished(first, second, keep, scale, bias, 3 * x + 1, 1, green[x])
        blue[x] = _finished(first, second, keep, scale, bias, 3 * x + 2, 2, blue[x])


@inlined
def _finished(
    first: np.ndarray, second: Line, keep: float, scale: np.ndarray, bias: np.ndarray, k: int, c: int, like: Any
) -> Any:
    """Return element k, of the type of `like`, by entry c of scale and bias."""
    value = to_float(first[k])
    if second is not None:
        value = keep * value + (np.float32(1) - keep) * to_float(second[k])
    return from_float(value * scale[c] + bias[c], like, first[k])
