"""Looking into a model while it runs. Whatever happens, the model is left as it was."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from threading import RLock, get_ident
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel

from dalimix.heatmaps.arguments import described
from dalimix.heatmaps.recorder import AttentionRecorder, Unfused


def find_module(
    model: nn.Module, name: str, argument: str = "layer", suits: Callable[[nn.Module], bool] = lambda module: False
) -> nn.Module:
    """Return the module of `model` that is called `name` in ``model.named_modules()``.

    If it has modules that `suits` picks, an error lists of these alone the nearest names, or else the last ones.

    Raises:
        TypeError: `model` is not a model, it or its module is scripted, or `name` is not a name.
        ValueError: there is no such module; the error lists the nearest names.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {described(model)}")
    _refuse_scripted("model", model)
    if not isinstance(name, str):
        expected = "a name as in model.named_modules(), such as 'layer4'"
        raise TypeError(f"{argument} must be {expected}, got {name!r}")
    modules = dict(model.named_modules(remove_duplicate=False))
    if name in modules:
        _refuse_scripted(f"module {name!r}", modules[name])
        return modules[name]
    fitting = [child for child, module in modules.items() if child and suits(module)]
    near = difflib.get_close_matches(name, fitting or filter(None, modules))
    near = near or fitting[-3:] or [child for child, _ in model.named_children()]
    wrapped = "; it wraps the model: hand in the one inside" if is_wrapper(model) else ""
    missing = f"{argument} must name a module, but there is no module {name!r} in {type(model).__name__}"
    raise ValueError(f"{missing}; nearest: {', '.join(near) or 'none'}{wrapped}")


def _refuse_scripted(name: str, module: nn.Module) -> None:
    """Refuse what `torch.jit` has made: no hook sees what runs inside of it."""
    if isinstance(module, torch.jit.ScriptModule):
        raise TypeError(f"{name} is of torch.jit.script or torch.jit.trace, and cannot be watched: "
                        "hand in the eager model that it was made of")  # fmt: skip


def is_wrapper(module: nn.Module) -> bool:
    """Whether the module is a model in `DataParallel` or `DistributedDataParallel`, or compiled."""
    return isinstance(module, (DataParallel, DistributedDataParallel)) or hasattr(module, "_orig_mod")


_LOCKS: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()
if hasattr(os, "register_at_fork"):  # the child has none of the threads that held the locks
    os.register_at_fork(after_in_child=_LOCKS.clear)


def lock_of(owner: Any) -> Any:
    """Return the lock of a model, or of something else that threads share, such as two pipelines a model.

    It is kept beside the model, which can therefore still be copied and pickled.
    """
    return _LOCKS.setdefault(owner, RLock())


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Set eval mode, and restore the old mode, module by module.

    ``model.eval()`` will not do: some models override `train` to do more than that, and a model whose parts are in
    different modes would not come back the same.
    """
    training = [module for module in model.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


@contextmanager
def last_output(module: nn.Module) -> Iterator[list[Any]]:
    """Yield a list that gets the last output of `module`, and stays empty if the module never ran.

    The tensor is copied at once: what comes after the module may change it in place. Other threads that run the
    module are ignored.
    """
    kept: list[Any] = []
    own = get_ident()

    def keep(_module: nn.Module, _args: Any, output: Any) -> None:
        if get_ident() != own:
            return
        output = first_tensor(output)
        kept[:] = [output.detach().clone() if isinstance(output, Tensor) else output]

    handle = module.register_forward_hook(keep)
    try:
        yield kept
    finally:
        handle.remove()


def first_tensor(output: Any) -> Any:
    """The first tensor of a tuple, list or mapping; anything else, and what holds no tensor, as it is."""
    items = output.values() if isinstance(output, Mapping) else output
    if isinstance(items, Tensor) or not isinstance(output, (tuple, list, Mapping)):
        return output
    return next((item for item in items if isinstance(item, Tensor)), output)


@contextmanager
def attention_of(module: nn.Module, batch_size: int) -> Iterator[AttentionRecorder]:
    """Record the attention of `module`, also if a fused kernel hides it.

    All this holds for this thread only: others may run the module meanwhile, or train with another model.
    """
    recorder, unfused, inside = AttentionRecorder(batch_size), Unfused(), ExitStack()
    own = get_ident()

    def enter(*_: Any) -> None:
        if get_ident() == own:
            recorder.ran = unfused.active = True
            inside.enter_context(recorder)

    def leave(*_: Any) -> None:
        if get_ident() == own:
            unfused.active = False
            inside.close()

    with unfused, inside:  # inside is closed here too: not every exception reaches the hook
        before = module.register_forward_pre_hook(enter)
        after = module.register_forward_hook(leave, always_call=True)
        try:
            yield recorder
        finally:
            before.remove()
            after.remove()
