"""Stored heatmaps, cut to the crops of their images."""

from __future__ import annotations

from dalimix import dispatch
from dalimix.arrays import Array, array_module
from dalimix.checks import OF_NUMPY
from dalimix.support.numbers import is_whole

MAX_GRID = 64


def heatmap_crop(maps: Array, index: Array, boxes: Array, grid: int) -> Array:
    """Cut one heatmap per sample to the sample's crop window and resample it to a grid, by RoIAlign.

    This is torchvision's ``roi_align(aligned=False, sampling_ratio=-1)`` on ``box · size − 0.5``: each cell is the mean
    of bilinear samples, about one for every cell of the map that it covers, and a window is at least one cell of the
    map high and wide. Samples more than a cell outside of the map count as 0. A length that exceeds a whole number of
    cells by no more than rounding takes no further sample. Computed in float64.

    Args:
        maps: uint8 (value / 255), float16 or float32 [N, gh, gw], contiguous.
        index: int32 or int64 [B], contiguous; which map belongs to each sample.
        boxes: float64 [B, 4], contiguous: (top, left, height, width) of the crop as shares of the image; it may reach
            across the border.
        grid: cells along each side of the output, 1 to 64.

    Returns:
        float32 [B, grid, grid], a new array. Subnormal numbers are 0.

    Raises:
        TypeError: an array is neither NumPy's nor CuPy's, the arrays are of both, or a dtype is not supported.
        ValueError: shapes do not fit together, an array is not contiguous, or the grid is out of range. On the CPU
            also: an index is outside 0 .. N − 1, or a box is not finite, has no area or reaches beyond 10 images. On a
            GPU such a sample is all NaN, so that the host never waits for the device.

    Examples:
        >>> maps = np.float32([[[1, 1], [9, 9]]])  # one map of 2 × 2 cells
        >>> lower_half = np.array([[0.5, 0.0, 0.5, 1.0]])
        >>> heatmap_crop(maps, np.array([0]), lower_half, grid=2)
        array([[[7., 7.],
                [9., 9.]]], dtype=float32)
    """
    _check("maps", maps, OF_NUMPY, ("N", "gh", "gw"))
    _check("index", index, ("int32", "int64"), ("B",))
    _check("boxes", boxes, ("float64",), ("B", 4))
    if len(boxes) != len(index):
        raise ValueError(f"boxes has {len(boxes)} entries but index has {len(index)}")
    check_grid(grid)
    return dispatch.backend_of(maps, index, boxes).heatmap_crop(maps, index, boxes, int(grid))


def check_grid(grid: int) -> None:
    """Raise a ValueError for a grid that `heatmap_crop` cannot make."""
    if not is_whole(grid) or not 1 <= grid <= MAX_GRID:
        raise ValueError(f"grid must be a whole number from 1 to {MAX_GRID}, got {grid!r}")


def _check(name: str, array: Array, dtypes: tuple[str, ...], shape: tuple[str | int, ...]) -> None:
    """Check dtype, shape and strides, since the kernel takes the memory as it is."""
    array_module(array, name)
    if array.dtype not in dtypes:
        raise TypeError(f"{name} must be {' or '.join(dtypes)}, got {array.dtype}")
    wanted = tuple(n if isinstance(n, int) else max(size, 1) for n, size in zip(shape, array.shape, strict=False))
    if array.ndim != len(shape) or array.shape != wanted:
        raise ValueError(f"{name} must be [{', '.join(map(str, shape))}] and not empty, got {list(array.shape)}")
    if not array.flags.c_contiguous:
        raise ValueError(f"{name} must be contiguous, got strides {array.strides}")
