"""The loops of kernels/compose.cu for the CPU: paste, blend, mirror, normalise, cast and change layout, row by row.

A row of image i is put together in a line that stays in the cache, from segments of image i and of its partner. It is
read where it lies if that is one piece of memory, all of it is wanted, and nobody mirrors or erases. Then one loop,
which the compiler vectorises, makes the output of it. So every pixel is read once from memory and written once. Images
are taken as [B, planes, H, W · items], where C = planes · items: planes of one item for CHW, one plane of C items for
HWC. What is erased is written last, over the finished row. An erase plan that is None costs nothing, as the compiler
makes one version of the loop with it and one without.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from dalimix.cpu.compiled import inlined, without_gil
from dalimix.cpu.outputs import OUTPUTS
from dalimix.cpu.parts.dtype import bits
from dalimix.cpu.parts.erased import Erased, Mixed, erase_row, erases
from dalimix.cpu.parts.finished import finish, row_or_line
from dalimix.cpu.parts.noise import BLOCK
from dalimix.cpu.parts.plan import Rows
from dalimix.cpu.parts.tokens import cell, first_pixel
from dalimix.cpu.parts.turns import NO_SAMPLE, end, following, thread_number
from dalimix.cpu.planner import flips, ready, rows
from dalimix.cpu.sharing import share, workers
from dalimix.erase_plan import ErasePlan
from dalimix.mix_plan import MixPlan

Channels = tuple[tuple[float, ...], tuple[float, ...]]  # scale and bias of every channel
UNSCALED: Channels = (1.0,), (-0.0,)  # numbers stay as they are, also −0, which + 0 would make 0; NaN stays NaN


def compose(
    images: np.ndarray,
    plan: MixPlan,
    mirror: np.ndarray | None,
    scaling: Channels | None,
    dtype: np.dtype,
    layout: str,
    output_layout: str,
    erase: ErasePlan | None = None,
) -> np.ndarray:
    """Erase, mix, mirror, normalise, cast and change layout; see `dalimix.compose`."""
    height, width, channels = (images.shape[1 + layout.index(axis)] for axis in "HWC")
    shape = tuple({"H": height, "W": width, "C": channels}[axis] for axis in output_layout)
    output = OUTPUTS.empty((len(images), *shape), dtype)
    source, target = _by_planes(bits(images), layout), _by_planes(bits(output), output_layout)
    of_plan = Rows(*map(ready, rows(plan)))
    of_row = _along_row(scaling or UNSCALED, source.shape[1], width, channels)
    memory = _memory(workers(target), source, of_plan.tokens.shape[2])
    erased = None if erase is None else _erased(erase, workers(target), channels, width)
    share(_compose, target, ready(source), width, of_plan, flips(mirror, len(images)), *of_row, *memory, erased)
    return output


def _erased(erase: ErasePlan, threads: int, channels: int, width: int) -> Erased:
    """The plan as the loop takes it, with its memory."""
    numbers = channels * ((width + BLOCK - 1) // BLOCK * BLOCK)
    spans = np.empty((threads, 2, erase.box.shape[1], 2), np.int64)
    counters = np.empty((threads, 2, numbers // BLOCK), np.uint32)
    words, values = np.empty((threads, numbers // 2), np.uint32), np.empty((threads, 2, numbers), np.float32)
    value = np.float32(np.nan if erase.value is None else erase.value)
    return Erased(ready(erase.box), ready(erase.key), value, spans, counters, words, values)


def _memory(threads: int, source: np.ndarray, tokens: int) -> tuple[np.ndarray, np.ndarray]:
    """Two lines for each thread; and as many segments as a row can have, with one of the whole row at the end."""
    planes, length = source.shape[1::2]
    return np.empty((threads, 2, planes, length), source.dtype), np.empty((threads, tokens + 2, 2), np.int64)


def _by_planes(images: np.ndarray, layout: str) -> np.ndarray:
    """A view [B, planes, H, W * items]."""
    if layout == "HWC":
        return images.reshape(len(images), 1, images.shape[1], -1)
    return images


@lru_cache(maxsize=64)
def _along_row(scaling: Channels, planes: int, width: int, channels: int) -> list[np.ndarray]:
    """Scale and bias, float32 [planes, W * items] each: for every element of a row."""
    rows = (np.resize(np.array(values, np.float32), channels).reshape(planes, 1, -1) for values in scaling)
    return [ready(np.tile(row, (width, 1)).reshape(planes, -1)) for row in rows]


@without_gil
def _compose(
    turns: np.ndarray,  # int64 [4]
    waits: bool,
    images: np.ndarray,  # [B, planes, H, W * items]
    width: int,
    plan: Rows,
    mirror: np.ndarray,  # uint8 [B]
    scale: np.ndarray,  # float32 [planes, W * items]
    bias: np.ndarray,
    lines: np.ndarray,  # [threads, 2, planes, W * items], overwritten
    all_segments: np.ndarray,  # int64 [threads, columns of tokens + 2, 2], overwritten
    erased: Erased | None,
    output: np.ndarray,  # [B, planes of its layout, H, W * items of its layout]
) -> None:
    height, thread = images.shape[2], thread_number(turns)
    receiver, giver, segments = lines[thread, 0], lines[thread, 1], all_segments[thread]
    whole, down = len(segments) - 1, plan.tokens.shape[1]
    segments[whole, 0], segments[whole, 1] = 0, width
    i = following(turns, NO_SAMPLE)
    while i != NO_SAMPLE:
        j, keep, box, tokens = plan.partner[i], plan.blend[i], plan.box[i], plan.tokens[i]
        own, other, flip, flip_other, target = images[i], images[j], mirror[i], mirror[j], output[i]
        dy, dx = (plan.shift[i, 0], plan.shift[i, 1]) if keep == 1 else (0, 0)  # what is blended stays in its place
        erasing = erases(erased, i, j)
        in_place = len(own) == 1 and not erasing  # erasing reads lines
        row, inside, shown = -1, False, 0
        for y in range(height):
            last_row, last_inside, inside = row, inside, box[0] <= y < box[2] and box[1] < box[3]
            row = cell(y, height, down) if down else 0
            if row != last_row or inside != last_inside:
                shown = _shown(box, inside, tokens, row, width, segments)
            covered = keep == 1 and shown > 0 and segments[0, 0] == 0 and segments[0, 1] == width
            stays = in_place and not flip and (keep != 1 or shown == 0)
            line, first, last = row_or_line(own, y, receiver, stays), whole, whole + 1
            _load_row(receiver, own, flip, y, width, covered or stays)
            if keep == 1:
                for k in range(shown):
                    _load(receiver, other, flip_other, y + dy, segments[k, 0], segments[k, 1], dx, width)
            else:
                stays = in_place and not flip_other
                of_other, first, last = row_or_line(other, y, giver, stays), 0, shown
                _load_row(giver, other, flip_other, y, width, stays)
                finish(line, of_other, keep, scale, bias, width, y, 0, width, target)
                line = of_other  # which is pasted over what was blended
            for k in range(first, last):
                finish(line, None, keep, scale, bias, width, y, segments[k, 0], segments[k, 1], target)
            mixed = Mixed(i, j, y, dy, dx, keep, lines[thread], segments, shown, width)
            erase_row(erased, erasing, thread, mixed, scale, bias, target)
        i = following(turns, i)
    end(turns, waits)


@inlined
def _shown(box: np.ndarray, inside: bool, tokens: np.ndarray, row: int, width: int, segments: np.ndarray) -> int:
    """Write the segments, [first pixel, end), in which the partner shows; return how many there are.

    Args:
        box: int32 [4].
        inside: whether the row of pixels crosses the box.
        tokens: uint8 [gh, gw] or [0, 0].
        row: of the tokens.
        width: of the image.
        segments: int64 [enough, 2], written.
    """
    count = 0
    if inside:
        segments[0, 0], segments[0, 1] = box[1], box[3]
        count = 1
    across = tokens.shape[1]
    for x in range(across):
        if not tokens[row, x]:
            continue
        start, stop = first_pixel(x, width, across), first_pixel(x + 1, width, across)
        if count and segments[count - 1, 1] == start:
            segments[count - 1, 1] = stop
        else:
            segments[count, 0], segments[count, 1] = start, stop
            count += 1
    return count


@inlined
def _load_row(line: np.ndarray, image: np.ndarray, flip: int, y: int, width: int, unwanted: bool) -> None:
    """Write row y of an image as it looks mirrored to a line, unless it is unwanted there."""
    if not unwanted:
        _load(line, image, flip, y, 0, width, 0, width)


@inlined
def _load(
    line: np.ndarray,  # [planes, W * items]
    image: np.ndarray,  # [planes, H, W * items]
    flip: int,
    y: int,
    start: int,
    stop: int,
    dx: int,
    width: int,
) -> None:
    """Write pixels start … stop − 1 of a line, read `dx` to the right from row y of an image, as it looks mirrored."""
    planes, length = line.shape
    items = length // width
    source = width - stop - dx if flip else start + dx
    for p in range(planes):
        target = line[p, start * items : stop * items]
        pixels = image[p, y, source * items : (source + stop - start) * items]
        if flip:
            _reverse(target, pixels, items)
        else:
            for k in range(len(target)):
                target[k] = pixels[k]


@inlined
def _reverse(target: np.ndarray, pixels: np.ndarray, items: int) -> None:
    """Write pixels of `items` elements in reverse order. Counting down, the compiler vectorises; three are the rule."""
    last = len(target) // items - 1
    if items == 3:
        for x in range(last, -1, -1):
            at = 3 * (last - x)
            target[at], target[at + 1], target[at + 2] = pixels[3 * x], pixels[3 * x + 1], pixels[3 * x + 2]
    else:
        for x in range(last, -1, -1):
            for c in range(items):
                target[items * (last - x) + c] = pixels[items * x + c]
