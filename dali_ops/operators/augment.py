"""Calls the user's `augment` between crop and mix, and checks what it returns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from nvidia.dali import fn
from nvidia.dali.data_node import DataNode

from dali_ops.decorators import plain_python
from dali_ops.error_chain import with_first_cause
from dali_ops.operators import bridge
from dali_ops.operators.nodes import check_images, layout_and_shape, rows_of
from dalimix.arrays import Array
from dalimix.pixels import check_units
from dalimix.values import check_pixels

Augment = Callable[[DataNode], DataNode]


def augmented(images: DataNode, augment: Augment | None, size: tuple[int, int]) -> DataNode:
    """Return what `augment` makes of RGB images of this height and width.

    Raises:
        TypeError: raised here, if it returns no node. ValueError: when the pipeline runs, if it returns another size.
    """
    if augment is None:
        return images
    changed = augment(images)
    if not isinstance(changed, DataNode):
        remedy = "operators of DALI make one from that which it gets"
        raise TypeError(f"augment must return a node of images, got {type(changed).__name__}: {remedy}")
    return _of_size(bridge.moved(changed, images.device), size)


@plain_python
def _of_size(images: DataNode, size: tuple[int, int]) -> DataNode:
    """Return the same images. Their shapes come from the check, so no operator sees images before they are checked."""
    (shapes,) = bridge.whole_batch(_Shapes(size), [rows_of(images)], 1, "cpu", [""], name="Augment")
    return fn.reshape(images, shape=shapes)  # without a copy


@dataclass(frozen=True)
class _Shapes:
    """The callback: int32 [B, 3], the shapes of images by what DALI knows about them; see `nodes.py`."""

    size: tuple[int, int]

    def __call__(self, rows: Array) -> Sequence[Array]:
        own, shape = layout_and_shape(rows[0])
        expected = {"": "HWC", "HWC": "HWC", "CHW": "CHW"}.get(own)
        sides = dict(zip("HWC", (*self.size, 3), strict=True))
        wanted = [sides[axis] for axis in expected or "HWC"]
        shapes = rows[:, rows.shape[1] - len(shape) :]
        wrong = shapes if expected is None or len(shape) != 3 else shapes[(shapes != wanted).any(axis=1)]
        if len(wrong):
            got = f"{wrong[0].tolist()}{f' of layout {own!r}' if own else ''}"
            raise ValueError(f"augment must return images of the shape that it gets, {wanted}, got {got}")
        return [shapes.copy()]  # that of one image is contiguous, but part of what must not be returned


@plain_python
def with_checked_units(labels: DataNode, images: DataNode, mean: Any, std: Any) -> DataNode:
    """Return the labels, after checking that dtype and values of the images fit `mean` and `std`.

    `dali_ops.mix` checks this itself; here it is for batches that are not mixed.
    """
    checked = bridge.whole_batch(_Units(mean, std), [labels, images], 1, labels.device, [""], name="Augment")
    return checked[0]


@dataclass(frozen=True)
class _Units:
    """The callback. On a GPU, for which the host would have to wait, the values are not checked."""

    mean: Any
    std: Any

    def __call__(self, labels: Array, images: Array) -> Sequence[Array]:
        check_images(images)
        check_units(images.dtype, self.mean, self.std)
        if isinstance(images, np.ndarray):
            check_pixels(images, self.mean, self.std)
        return [labels.copy()]


def as_raised(define: Callable[[], Any]) -> Any:
    """Return the pipeline that `define` returns, or raise what it raised.

    To make errors readable in a function that it rewrites for conditionals, DALI raises another error in their place,
    of another class if need be. This raises the original one, with DALI's as its cause.
    """
    try:
        return define()
    except Exception as error:
        raised = error.__context__
        if raised is None or not hasattr(raised, "ag_error_metadata"):
            raise
        cause, error.__context__ = error, None  # or each would lead to the other
    raise with_first_cause(raised, cause)
