"""From a layer's output to a map of the image: feature maps, and tokens that form a grid."""

from __future__ import annotations

from math import isqrt, log
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

Grid = tuple[int, int]
MOST_PREFIX = 8  # tokens before the image's: a class token, a distillation token, some registers; fewer than a row has


def feature_map(kept: list[Any], layer: str, grid: Grid | None, pixels: Tensor) -> Tensor:
    """Return the layer's last output as [B, C, gh, gw].

    Args:
        kept: the output, a feature map [B, C, gh, gw] or tokens [B, N, C]; empty if the layer never ran. A feature map
            [B, gh, gw, C], such as that of a Swin transformer, is recognised by its sides, which are in proportion to
            those of the image.
        layer: its name, for the errors.
        grid: of the tokens; None: the largest square.
        pixels: what the model read, [B, C, H, W].

    Raises:
        ValueError: the layer did not run, or gave something else.
    """
    if not kept:
        raise never_ran(layer)
    output, size = kept[0], len(pixels)
    shape = list(getattr(output, "shape", ()))
    if len(shape) not in (3, 4) or 0 in shape:
        got = shape or type(output).__name__
        raise ValueError(f"module {layer!r} must give [B, C, h, w] or tokens [B, N, C], got {got}")
    if shape[0] != size:
        raise ValueError(f"module {layer!r} gave {shape}, but images has batch size {size}")
    if len(shape) == 3:
        grid, prefix = lay_out(shape[1], layer, grid, pixels)
        return output[:, prefix:].transpose(1, 2).unflatten(2, grid)
    output = _channels_second(output, pixels)
    shape = list(output.shape)
    if grid not in (None, tuple(shape[2:])):
        raise ValueError(f"grid is {grid}, but module {layer!r} gave a feature map {shape}: leave grid out")
    return output


def _channels_second(output: Tensor, pixels: Tensor) -> Tensor:
    """[B, C, gh, gw]: permuted only if the first two sides are nearer to the image's proportions than the last two."""
    (height, width), (first, second, third) = pixels.shape[2:], output.shape[1:]
    turned = abs(log(first / second * width / height)) < abs(log(second / third * width / height))
    return output.permute(0, 3, 1, 2) if turned else output


def lay_out(tokens: int, layer: str, grid: Grid | None, pixels: Tensor) -> tuple[Grid, int]:
    """Return the grid of `tokens` tokens, and how many tokens before it are not part of the image.

    Raises:
        ValueError: the tokens do not fit `grid`; or grid is None and they are not a square with few tokens before it.
    """
    name, given = f"module {layer!r} has {tokens} tokens", grid is not None
    height, width = pixels.shape[2:]
    if grid is None and height != width:
        raise ValueError(f"{name} for images of {height} × {width} pixels: give the provider grid=(rows, columns)")
    side = isqrt(tokens)
    grid = grid or (side, side)
    prefix = tokens - grid[0] * grid[1]
    if not given and (prefix > MOST_PREFIX or prefix >= side):
        raise ValueError(f"{name}, which are no square: give the provider grid=(rows, columns)")
    if prefix < 0 or prefix > grid[0] * grid[1]:
        raise ValueError(f"{name}, but grid is {grid}, which has {grid[0] * grid[1]}")
    return grid, prefix


def never_ran(layer: str) -> ValueError:
    return ValueError(f"module {layer!r} did not run when the model read the images: name one that does; "
                      "of an exported model hand in the eager one")  # fmt: skip
