"""The input of a pipeline: the images of every batch in their order, and what is known about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from nvidia.dali import fn
from nvidia.dali.data_node import DataNode

from dali_ops.decorators import plain_python
from dali_ops.loader.reading.order import Order
from dali_ops.loader.reading.unreadable import Failure, blamed, refuse_unreadable
from dali_ops.sources import Source


@dataclass(frozen=True, eq=False)
class Feed:
    """Batches of a source without end, epoch after epoch.

    It keeps no state, so a checkpoint of the pipeline restores it: DALI says which batch it wants.

    Attributes:
        source: what to read.
        order: which images every batch has.
        epoch, step: of the first batch that the pipeline asks for.
        skipped: indices of images that are left out.
    """

    source: Source
    order: Order
    epoch: int = 0
    step: int = 0
    skipped: frozenset[int] = frozenset()

    def from_here(self, epoch: int, step: int) -> Feed:
        """Return the same feed for a pipeline that begins elsewhere."""
        return replace(self, epoch=epoch, step=step)

    def numbers(self, epoch: int, step: int) -> np.ndarray:
        """Return int64 [n]: the images of a batch."""
        numbers = self.order.numbers(epoch, step)
        return numbers[self._usable[numbers]] if self.skipped else numbers

    def asked(self, epoch: int, step: int) -> np.ndarray:
        """Do as `numbers`, but with one image in place of none, which DALI cannot take; that batch is thrown away."""
        numbers = self.numbers(epoch, step)
        return numbers if len(numbers) else np.flatnonzero(self._usable)[:1]

    def without_unreadable(
        self, error: Failure, epoch: int, step: int, device_id: int | None, skip_corrupt: bool
    ) -> Feed:
        """Return the feed without the unreadable images of a batch at which a pipeline has failed.

        Raises:
            ValueError: an image cannot be read or decoded, and is not to be skipped; the error names it.
            RuntimeError: the `error` itself, if no image caused it.
        """
        tried = self.source, self.asked(epoch, step), device_id
        if not skip_corrupt:
            refuse_unreadable(error, *tried)
            raise error
        corrupt = [int(number) for number, _ in blamed(error, *tried)]
        if not corrupt:
            raise error
        return replace(self, skipped=self.skipped.union(corrupt))

    @cached_property
    def _usable(self) -> np.ndarray:
        """bool [N]: the images that are not skipped."""
        usable = np.ones(len(self.source), bool)
        usable[list(self.skipped)] = False
        if not usable.any():
            raise ValueError(f"none of the {len(usable)} images can be decoded, such as {self.source.location(0)}")
        return usable

    @plain_python  # the callbacks are Python, also where the pipeline is rewritten for conditionals
    def read(self, *columns: np.ndarray) -> tuple[DataNode, ...]:
        """Nodes of encoded images, uint8 [n], and for each array [N] the values of these images, scalars."""

        def fetch(info: Any) -> Sequence[np.ndarray] | np.ndarray:
            return self.source.fetch(self._asked_by(info))

        def look_up(info: Any) -> Sequence[np.ndarray]:
            numbers = self._asked_by(info)
            return [column[numbers] for column in columns]

        fetched = fn.external_source(fetch, batch=True, batch_info=True, no_copy=self.source.no_copy)
        values = fn.external_source(look_up, num_outputs=len(columns), batch=True, batch_info=True) if columns else ()
        return (self.source.encoded(fetched), *values)

    @plain_python
    def index(self) -> DataNode:
        """Node of the numbers of the images, int64 scalars."""
        return fn.external_source(self._asked_by, batch=True, batch_info=True)

    def _asked_by(self, info: Any) -> np.ndarray:
        """The numbers of a batch of the pipeline, which counts them from where it began."""
        ahead = self.step + info.iteration
        return self.asked(self.epoch + ahead // self.order.steps, ahead % self.order.steps)
