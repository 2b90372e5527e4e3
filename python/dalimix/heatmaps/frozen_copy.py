"""A copy of the model under training, for threads that run it while the training goes on."""

from __future__ import annotations

import copy
import pickle
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from dalimix.heatmaps.hooks import is_wrapper, lock_of
from dalimix.heatmaps.tensors import without_gradients

if TYPE_CHECKING:
    from dalimix.heatmaps.base import ModelHeatmap

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


class FrozenCopy:
    """A deep copy of a provider and its model: in eval mode, without gradients, without the user's hooks.

    Args:
        provider: the provider to copy; it stays as it was.

    Attributes:
        lock: must be held while the copy is run or written.

    Raises:
        TypeError: the model cannot be copied.
    """

    def __init__(self, provider: ModelHeatmap) -> None:
        self._order = StreamOrder(_device_of(provider.model))
        with self._order.kept():  # copying is the first use
            self._provider = _frozen(provider)
        self._own = tensors_of(self._provider.model)

    def __deepcopy__(self, memo: dict[int, Any]) -> FrozenCopy:
        """Copy the weights as they are between two runs; the copy has a stream order of its own."""
        return FrozenCopy(self._between_two_runs())

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle to bytes: memory that another process is to share would be gone before that process has started."""
        return _unpickled, (pickle.dumps(self._between_two_runs()),)

    def _between_two_runs(self) -> ModelHeatmap:
        with self.lock, self._order.kept():
            return _copied(self._provider)

    @property
    def lock(self) -> Any:
        return lock_of(self)

    def observe(self, images: Tensor, labels: Tensor | None) -> tuple[Tensor, Any]:
        """Do as `ModelHeatmap.observe`, all in stream order: a provider may read weights after the model has run."""
        with self._order.kept():
            return self._provider.observe(images, labels)

    @without_gradients
    def load(self, model: nn.Module) -> None:
        """Copy the parameters and buffers of `model`.

        If the device fails during the copying, the copy is a mixture of old and new until a later call succeeds.

        Raises:
            ValueError: they are not those that the copy was made of: other names, shapes, dtypes, or another device.
                All are checked before the first is written, so the copy stays as it was.
        """
        live = tensors_of(model)
        _check_same(live, self._own)
        with self._order.kept():
            for name, tensor in live.items():
                self._own[name].copy_(tensor)


def _unpickled(provider: bytes) -> FrozenCopy:
    return FrozenCopy(pickle.loads(provider))


class StreamOrder:
    """On a GPU, what a lock is to threads: streams that use a copy wait for each other, and the host does not wait.

    The lock alone would not do there: it is free when the work is queued, not when it is done.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._last_use = torch.cuda.Event() if device.type == "cuda" else None

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Let what is queued inside, on the current stream, come after the last use and before the next one."""
        if self._last_use is None:
            yield
            return
        stream = torch.cuda.current_stream(self._device)
        stream.wait_event(self._last_use)
        try:
            yield
        finally:
            self._last_use.record(stream)


def tensors_of(model: nn.Module) -> dict[str, Tensor]:
    """Return parameters and buffers by their names, including those that are not saved with the model."""
    return dict(chain(model.named_parameters(), model.named_buffers()))


def _device_of(model: nn.Module) -> torch.device:
    return next(iter(tensors_of(model).values()), torch.empty(0)).device


def _frozen(provider: ModelHeatmap) -> ModelHeatmap:
    frozen = _copied(provider)
    for module in frozen.model.modules():
        module.training = False  # not with eval(), see hooks.evaluating
    frozen.model.requires_grad_(False)
    return frozen


def _copied(provider: ModelHeatmap) -> ModelHeatmap:
    model = provider.model
    wrapper = next(filter(is_wrapper, model.modules()), None)  # a copy would take part in collectives, or compile anew
    if wrapper is not None:
        kind = type(wrapper).__name__
        raise TypeError(f"a snapshot is of a bare model, such as ddp.module, but the provider's is or holds a {kind}")
    try:
        return copy.deepcopy(provider, _memo(model))
    except Exception as error:  # whatever the model's parts raise
        kind = type(model).__name__
        raise TypeError(f"a snapshot is a deep copy of the model, but {kind} cannot be copied: {error}") from error


def _memo(model: nn.Module) -> dict[int, Any]:
    """The replacements that `deepcopy` is to use for what it must not copy.

    These are the user's hooks, which must not fire for the copy (copying one may also mean copying a whole trainer),
    and results that a module keeps with their graph, which `deepcopy` refuses.
    """
    memo: dict[int, Any] = {}
    for module in model.modules():
        for hooks in (getattr(module, name) for name in HOOKS):
            memo[id(hooks)] = OrderedDict((key, hook) for key, hook in hooks.items() if _is_of_torch(hook))
        for value in vars(module).values():
            if isinstance(value, Tensor) and value.grad_fn is not None:
                memo[id(value)] = value.detach().clone()
    return memo


def _is_of_torch(hook: object) -> bool:
    """Whether the hook is torch's, as that of `torch.nn.utils.spectral_norm`, without which the model would change.

    The cost of this rule: if another library's hook changes what a model computes, the copy lacks it.
    """
    return type(hook).__module__.startswith("torch.")


def _check_same(live: dict[str, Tensor], own: dict[str, Tensor]) -> None:
    changed = live.keys() ^ own.keys()
    changed |= {name for name in live.keys() & own.keys() if _kind(live[name]) != _kind(own[name])}
    if changed:
        name = min(changed)
        was, now = (_told(tensors.get(name)) for tensors in (own, live))
        raise ValueError(f"the model has changed since its snapshot was made: {name!r} was {was} and is {now}; "
                         "make a new SnapshotHeatmap")  # fmt: skip


def _kind(tensor: Tensor) -> tuple[Any, ...]:
    return tensor.dtype, tensor.shape, tensor.device


def _told(tensor: Tensor | None) -> str:
    return "missing" if tensor is None else f"{tensor.dtype} {list(tensor.shape)} on {tensor.device}"
