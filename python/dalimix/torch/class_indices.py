"""Class indices outside of the classes: an error at once on the CPU, and in a later call on a GPU."""

from __future__ import annotations

from collections import deque
from threading import Lock
from typing import NamedTuple

import torch
from torch import Tensor

from dalimix.heatmaps.graphs import can_be_read
from dalimix.values import label_outside

MOST_PENDING = 256  # far more than a GPU is ever behind


class _Report(NamedTuple):
    """On its way from the GPU: (sample, its label, whether that is a class)."""

    arrived: torch.cuda.Event
    told: Tensor
    classes: int


_pending: deque[_Report] = deque(maxlen=MOST_PENDING)
_reading = Lock()  # otherwise a thread could take the report that another has just found to have arrived


def are_classes(labels: Tensor, classes: int) -> Tensor:
    """Bool [B]: which of the class indices, int64 [B], are in 0 .. classes − 1.

    Raises:
        ValueError: on the CPU, one is not; this is not checked in a graph or in vmap, where values cannot be read. On a
            GPU, which the host does not wait for, one of an earlier call was not; this is not checked in code that
            `torch.compile` has compiled.
    """
    inside = (labels >= 0) & (labels < classes)
    if labels.device.type == "cpu":
        if can_be_read(inside):
            _refuse_others(labels, inside, classes)
    elif labels.device.type == "cuda" and len(labels) and not torch.compiler.is_compiling():
        _raise_what_arrived()
        _send(labels, inside, classes)
    return inside


def _refuse_others(labels: Tensor, inside: Tensor, classes: int) -> None:
    if not inside.all():
        at = int(inside.byte().argmin())
        raise label_outside(int(labels[at]), at, classes)


def _send(labels: Tensor, inside: Tensor, classes: int) -> None:
    """Queue a copy of one label, a wrong one if there is any. The host does not wait for it."""
    if torch.cuda.is_current_stream_capturing():  # nothing would tell when the graph is replayed
        return
    at = inside.byte().argmin().reshape(1)
    found = torch.cat([at, labels.take(at), inside.take(at).long()])
    told = torch.empty(3, dtype=torch.int64, pin_memory=True).copy_(found, non_blocking=True)
    arrived = torch.cuda.Event()
    arrived.record(torch.cuda.current_stream(labels.device))
    _pending.append(_Report(arrived, told, classes))


def _raise_what_arrived() -> None:
    while (report := _arrived()) is not None:
        _, told, classes = report
        sample, label, inside = told.tolist()
        if not inside:
            raise label_outside(label, sample, classes, " of an earlier batch")


def _arrived() -> _Report | None:
    """The oldest report, if it has arrived."""
    with _reading:
        return _pending.popleft() if _pending and _pending[0].arrived.query() else None
