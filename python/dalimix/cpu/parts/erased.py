"""What is erased of a row, for `dalimix.cpu.compose`: written over what was mixed, while the row is in the cache.

It is mixed after normalising, since the noise is standard normal then. Each row is split into stretches: parts
in which all pixels show the same image, and are erased in the same images.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from dalimix.cpu.compiled import inlined
from dalimix.cpu.parts.dtype import from_float, to_float
from dalimix.cpu.parts.noise import BLOCK, noise

# What a key is used for: the last word of Philox's counter tells; 0 is noise.
BOXES, WHETHER = 1, 2


class Erased(NamedTuple):
    """The arrays of an `ErasePlan`, and memory: W is the width, rounded up to a multiple of 8."""

    box: np.ndarray  # int32 [B, n, 4]
    key: np.ndarray  # uint32 [B, 2]
    value: float  # float32, of erased pixels; NaN: noise
    spans: np.ndarray  # int64 [threads, 2, n, 2], overwritten
    counters: np.ndarray  # uint32 [threads, 2, C * W / 8], overwritten
    words: np.ndarray  # uint32 [threads, C * W / 2], overwritten
    values: np.ndarray  # float32 [threads, 2, C * W], overwritten


class Mixed(NamedTuple):
    """A row of the output, as it was mixed."""

    i: int
    j: int  # its partner
    y: int
    dy: int  # to where the partner is read
    dx: int
    keep: float
    lines: np.ndarray  # [2, planes, W * items], of image i and of its partner; read where they are blended
    segments: np.ndarray  # int64 [enough, 2], in which the partner shows
    shown: int  # how many there are
    width: int


@inlined
def erases(erased: Erased | None, i: int, j: int) -> bool:
    """Return whether anything is erased of one of the two images."""
    if erased is None:
        return False
    found = False
    for k in range(erased.box.shape[1]):
        found = found or erased.box[i, k, 2] > erased.box[i, k, 0] or erased.box[j, k, 2] > erased.box[j, k, 0]
    return found


@inlined
def erase_row(
    erased: Erased | None,
    erasing: bool,
    thread: int,
    mixed: Mixed,
    scale: np.ndarray,  # float32 [planes, W * items]
    bias: np.ndarray,
    output: np.ndarray,  # [planes of its layout, H, W * items of its layout]
) -> None:
    """Write the pixels of a row that are erased in an image which they show, if anything is (`erasing`)."""
    if erased is None:
        return
    if not erasing:
        return
    spans, width, blended = erased.spans[thread], mixed.width, mixed.keep != 1
    own, other = _spans(erased.box[mixed.i], mixed.y, 0, width, spans[0]), 0
    if blended or mixed.shown:
        other = _spans(erased.box[mixed.j], mixed.y + mixed.dy, mixed.dx, width, spans[1])
    x, until = _reach(spans[0], own, spans[1], other, width)
    while x < until:
        start = x
        shows, x = _stretch(mixed.segments, mixed.shown, start, until)
        of_own, x = _stretch(spans[0], own, start, x)
        of_other, x = _stretch(spans[1], other, start, x)
        if (of_own and not shows) or (of_other and (shows or blended)):
            _erase(erased, thread, mixed, shows, of_own, of_other, start, x, scale, bias, output)


@inlined
def _erase(
    erased: Erased,
    thread: int,
    mixed: Mixed,
    shows: bool,
    of_own: bool,
    of_other: bool,
    start: int,
    stop: int,
    scale: np.ndarray,
    bias: np.ndarray,
    output: np.ndarray,
) -> None:
    """Write a stretch that `shows` the partner alone, and is erased in the one, in the other or in both."""
    keep, width, values = mixed.keep, mixed.width, erased.values[thread]
    across, channels = mixed.dx if shows else 0, scale.size // width
    first, last = (start + across) // BLOCK, (stop + across + BLOCK - 1) // BLOCK
    at, pitch = start + across - BLOCK * first, BLOCK * (last - first)  # in the values of a channel; of one channel
    for k in range(2):
        used = shows or keep != 1 if k else not shows
        if used and (of_other if k else of_own):
            image, y = (mixed.j, mixed.y + mixed.dy) if k else (mixed.i, mixed.y)
            _fill(erased, thread, image, y, first, last, channels, values[k])
        elif used:
            _normalise(mixed.lines[k], scale, bias, width, start, stop, values[k], at, pitch)
    if keep != 1 and not shows:
        _blend(values[0, 0 : channels * pitch], values[1, 0 : channels * pitch], keep)
    source = mixed.lines[0, 0, 0]
    _write(values[1 if shows else 0], at, pitch, channels, mixed.y, start, stop, width, source, output)


@inlined
def _fill(
    erased: Erased, thread: int, image: int, y: int, first: int, last: int, channels: int, values: np.ndarray
) -> None:
    """Write what is put in the place of blocks first … last − 1 of a row of an image, channel by channel."""
    if erased.value != erased.value:
        key = (erased.key[image, 0], erased.key[image, 1])
        noise(key, y, first, last, channels, erased.counters[thread], erased.words[thread], values)
    else:
        for k in range(BLOCK * channels * (last - first)):
            values[k] = erased.value


@inlined
def _normalise(
    line: np.ndarray,
    scale: np.ndarray,
    bias: np.ndarray,
    width: int,
    start: int,
    stop: int,
    values: np.ndarray,
    at: int,
    pitch: int,
) -> None:
    """Write pixels start … stop − 1 of a line, normalised, channel by channel."""
    items = line.shape[1] // width
    if items == 3:
        pixels, runs = line[0, 3 * start : 3 * stop], values[at : 3 * pitch]
        count = stop - start
        red, green, blue = runs[0:count], runs[pitch : pitch + count], runs[2 * pitch : 2 * pitch + count]
        _normalise_three(pixels, scale[0], bias[0], red, green, blue)
        return
    for c in range(scale.size // width):
        p, item = (c, 0) if items == 1 else (0, c)
        pixels, s, t = line[p, start * items : stop * items], scale[p, item], bias[p, item]  # those of the channel
        run = values[c * pitch + at : c * pitch + at + stop - start]
        for k in range(len(run)):
            run[k] = to_float(pixels[k * items + item]) * s + t


@inlined
def _normalise_three(
    pixels: np.ndarray, scale: np.ndarray, bias: np.ndarray, red: np.ndarray, green: np.ndarray, blue: np.ndarray
) -> None:
    """The commonest case, written so that the compiler takes the channels apart in registers."""
    for k in range(len(red)):
        red[k] = to_float(pixels[3 * k]) * scale[0] + bias[0]
        green[k] = to_float(pixels[3 * k + 1]) * scale[1] + bias[1]
        blue[k] = to_float(pixels[3 * k + 2]) * scale[2] + bias[2]


@inlined
def _blend(first: np.ndarray, second: np.ndarray, keep: float) -> None:
    for k in range(len(first)):
        first[k] = keep * first[k] + (np.float32(1) - keep) * second[k]


@inlined
def _write(
    values: np.ndarray,
    at: int,
    pitch: int,
    channels: int,
    y: int,
    start: int,
    stop: int,
    width: int,
    source: Any,
    output: np.ndarray,
) -> None:
    """Write the values to pixels start … stop − 1 of a row of the output; `source` is an element of the images."""
    items = output.shape[2] // width
    for c in range(channels):
        run = values[c * pitch + at : c * pitch + at + stop - start]
        if items == 1:
            target = output[c, y, start:stop]
            for k in range(len(run)):
                target[k] = from_float(run[k], target[k], source)
        else:
            pixels = output[0, y, start * items : stop * items]
            for k in range(len(run)):
                pixels[k * items + c] = from_float(run[k], pixels[k], source)


@inlined
def _reach(own: np.ndarray, count: int, other: np.ndarray, others: int, width: int) -> tuple[int, int]:
    """Return the first pixel in any of the spans, and the end of the last one."""
    first, end = width, 0
    for k in range(count):
        first, end = min(first, own[k, 0]), max(end, own[k, 1])
    for k in range(others):
        first, end = min(first, other[k, 0]), max(end, other[k, 1])
    return first, end


@inlined
def _spans(boxes: np.ndarray, y: int, dx: int, width: int, spans: np.ndarray) -> int:
    """Write [first, end) of each box in a row, moved by `dx` to the left; return how many there are."""
    count = 0
    for k in range(len(boxes)):
        first, end = max(boxes[k, 1] - dx, 0), min(boxes[k, 3] - dx, width)
        if boxes[k, 0] <= y < boxes[k, 2] and first < end:
            spans[count, 0], spans[count, 1] = first, end
            count += 1
    return count


@inlined
def _stretch(spans: np.ndarray, count: int, x: int, end: int) -> tuple[bool, int]:
    """Return whether pixel x is in one of the spans, and up to where that holds, `end` at most."""
    inside, until, before = False, x, end
    for k in range(count):
        if spans[k, 0] <= x < spans[k, 1]:
            inside, until = True, max(until, spans[k, 1])
        elif spans[k, 0] > x:
            before = min(before, spans[k, 0])
    return inside, min(until, end) if inside else before
