"""Whether torch is building a graph or transforming a function, where there are no values to read.

The names are torch's own and private, so each may be missing; then the user sees torch's error.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from torch import Tensor

BEFORE = "cannot be part of a graph or of a transform: mix before torch.func, torch.export or a trace"


def _never(*_: Any) -> Any:
    return None


_functorch: Any = getattr(torch._C, "_functorch", None)
_transform = getattr(_functorch, "peek_interpreter_stack", _never)
_is_wrapped = getattr(_functorch, "is_functorch_wrapped_tensor", _never)
_is_batched = getattr(_functorch, "is_batchedtensor", _never)
_is_functional = getattr(torch, "_is_functional_tensor", _never)
_mode = getattr(torch._C, "_get_dispatch_mode", _never)
_keys: Any = getattr(torch._C, "_TorchDispatchModeKey", None)
_GRAPH_MODES = tuple(key for name in ("FAKE", "PROXY") if (key := getattr(_keys, name, None)) is not None)


def refuse_graph(name: str, given: Tensor, what: str = "heatmaps") -> None:
    """Refuse tensors of a graph: what is recorded in it would be a constant, or nothing at all.

    Raises:
        TypeError: a graph is being made, or `given` is one of its tensors or comes from vmap.
    """
    if _graph_is_made() or _is_fake(given) or _is_batched(given):
        raise TypeError(f"{name} are in a graph or in vmap, but {what} {BEFORE}")


def refuse_transform(name: str, given: Tensor) -> None:
    """Refuse a transform of torch.func, too, even of other tensors: results there have no memory to read.

    Raises:
        TypeError: a transform is active, or a graph is being made.
    """
    if _transform() is not None or _is_wrapped(given) or _is_functional(given):
        raise TypeError(f"{name} are in a transform of torch.func, but mixing {BEFORE}")
    refuse_graph(name, given, "mixing")


def can_be_read(values: Tensor) -> bool:
    """Whether Python may read the values. It may in compiled code, where the graph breaks, but not in an export."""
    if torch.compiler.is_compiling():
        return not getattr(torch.compiler, "is_exporting", _never)()
    return not (_graph_is_made() or _is_fake(values) or _is_batched(values) or _is_functional(values))


def _graph_is_made() -> bool:
    return torch.jit.is_tracing() or any(_mode(key) is not None for key in _GRAPH_MODES)


def _is_fake(given: Tensor) -> bool:
    fakes = sys.modules.get("torch._subclasses.fake_tensor")  # loaded if there can be one; loading it takes long
    return fakes is not None and isinstance(given, fakes.FakeTensor)
