"""The peers of `bench_smmix.py`: how the authors' code mixes, written anew from what that code does.

It is at github.com/ChenMnZ/SMMix. Torch's `unfold` lays out all windows of the heatmaps, which are summed up; that of a
map of the cells' numbers tells which cells the chosen window has; the images are unfolded into patches, some of which
are overwritten, and folded again. Image i meets image B - 1 - i.

Only `OneSide` is theirs: a batch has one side there. The other two do with it what gives every image a side of its own.
What the original moves to the GPU in every call is made there.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import fold, unfold

Cells = tuple[Tensor, Tensor]  # int64 [n, side²] each: numbers of the cells that are written, and that are read


@dataclass(frozen=True)
class Regions:
    """What is mixed where, in a batch with N cells an image.

    Attributes:
        written: int64, numbers of cells, counted through the whole batch.
        read: likewise, of the batch in reversed order.
        source_mask: bool [B, N], the cells that are written.
        target_mask: the others.
    """

    written: Tensor
    read: Tensor
    source_mask: Tensor
    target_mask: Tensor


class OneSide:
    """As in the authors' code: the sides of a batch are all the same."""

    name, per = "unfold, one side", "batch"

    def plan(self, heatmaps: Tensor, sides: list[int]) -> Regions:
        """Of heatmaps [B, g, g]."""
        sums = window_sums(heatmaps, sides[0])
        cells = cells_of(sums.argmin(1), heatmaps, sides[0]), cells_of(sums.argmax(1), heatmaps, sides[0]).flip(0)
        return regions(heatmaps, torch.arange(len(heatmaps), device=heatmaps.device), [cells])

    def compose(self, images: Tensor, plan: Regions) -> Tensor:
        """Of images [B, C, H, H]; a cell is a patch."""
        patch = images.shape[2] // round(plan.source_mask.shape[1] ** 0.5)
        patches = unfold(images, patch, stride=patch).transpose(1, 2)
        own, given = patches.flatten(0, 1), patches.flip(0).flatten(0, 1)
        own[plan.written] = given[plan.read]
        return fold(own.view_as(patches).transpose(1, 2), images.shape[2:], patch, stride=patch)


class ImageByImage(OneSide):
    """Every image for itself."""

    name, per = "unfold, image by image", "sample"

    def plan(self, heatmaps: Tensor, sides: list[int]) -> Regions:
        given = heatmaps.flip(0)
        found = [chosen(heatmaps[i : i + 1], given[i : i + 1], side) for i, side in enumerate(sides)]
        return regions(heatmaps, torch.arange(len(sides), device=heatmaps.device), found)


class BySide(OneSide):
    """The images with the same side together."""

    name, per = "unfold, one side after the other", "sample"

    def plan(self, heatmaps: Tensor, sides: list[int]) -> Regions:
        order = torch.tensor(sorted(range(len(sides)), key=sides.__getitem__), device=heatmaps.device)
        counts = sorted(Counter(sides).items())
        sizes = [count for _, count in counts]
        pairs = zip(counts, heatmaps[order].split(sizes), heatmaps.flip(0)[order].split(sizes), strict=True)
        return regions(heatmaps, order, [chosen(own, given, side) for (side, _), own, given in pairs])


def chosen(own: Tensor, given: Tensor, side: int) -> Cells:
    """Of the heatmaps [n, g, g] of some images and those of their partners: the lowest window, and the highest."""
    lowest, highest = window_sums(own, side).argmin(1), window_sums(given, side).argmax(1)
    return cells_of(lowest, own, side), cells_of(highest, given, side)


def window_sums(heatmaps: Tensor, side: int) -> Tensor:
    """[n, windows]."""
    return unfold(heatmaps[:, None], side).sum(1)


def cells_of(windows: Tensor, heatmaps: Tensor, side: int) -> Tensor:
    """Int64 [n, side²]: the numbers of the cells in each of the windows."""
    rows, columns = heatmaps.shape[1:]
    numbers = torch.arange(rows * columns, dtype=torch.float32, device=heatmaps.device)
    return unfold(numbers.view(1, 1, rows, columns), side)[0].T.long().index_select(0, windows)


def regions(heatmaps: Tensor, order: Tensor, found: list[Cells]) -> Regions:
    """`found` are the cells of the images in `order`, int64 [B]."""
    count = heatmaps[0].numel()
    starts = (order * count)[:, None].split([len(written) for written, _ in found])
    written = torch.cat([(own + start).flatten() for (own, _), start in zip(found, starts, strict=True)])
    read = torch.cat([(given + start).flatten() for (_, given), start in zip(found, starts, strict=True)])
    mask = torch.zeros(heatmaps.numel(), dtype=torch.bool, device=heatmaps.device)
    mask[written] = True
    source = mask.view(len(heatmaps), count)
    return Regions(written, read, source, ~source)
