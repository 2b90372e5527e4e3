"""What happens to the pixels while they are mixed: normalised, cast and laid out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nvidia.dali.data_node import DataNode

from dalimix import checks
from dalimix.pixels import by_channel, check_bytes, dtype_name, per_channel

PerChannel = float | Sequence[float]  # also arrays and tensors


@dataclass(frozen=True, kw_only=True)
class Pixels:
    """The arguments of `dali_ops.mix` of these names, checked and each in one form.

    Attributes:
        mean, std: tuples of floats, or None.
        dtype: its name, or None. In DALI, which has no type for it, bfloat16 is the int16 of its bits.
        layout: of the images; None: that of the node.
        output_layout: None: that of the images.
    """

    mean: Any = None
    std: Any = None
    dtype: Any = None
    layout: checks.Layout | None = None
    output_layout: checks.Layout | None = None

    def __post_init__(self) -> None:
        checks.layouts(layout=self.layout, output_layout=self.output_layout)
        mean, std = _numbers("mean", self.mean), _numbers("std", self.std)
        means, _ = by_channel(mean or (0.0,), std or (1.0,))
        checks.scaling(mean, std, len(means))  # how many channels there are, only the images will tell
        dtype = None if self.dtype is None else dtype_name(self.dtype)
        check_bytes(dtype, mean, std)
        for name, value in {"mean": mean, "std": std, "dtype": dtype}.items():
            object.__setattr__(self, name, value)


def _numbers(name: str, given: Any) -> tuple[float, ...] | None:
    if isinstance(given, DataNode):
        raise TypeError(f"{name} must be numbers, got a pipeline node")
    return None if given is None else per_channel(name, given)
