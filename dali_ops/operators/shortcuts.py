"""One function per method: ``cutmix(images, labels, alpha=1, …)`` is ``mix(images, labels, CutMix(alpha=1), …)``."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from nvidia.dali.data_node import DataNode
from nvidia.dali.pipeline import do_not_convert

from dali_ops.operators.mix import mix
from dalimix import AttentiveCutMix, CutMix, Method, Mixup, SMMix, TokenMix


def shortcut(method: type[Method]) -> Callable[..., tuple[Any, ...]]:
    """`mix` with `method`, whose parameters are given as keywords among those of `mix`."""
    own, signature = {field.name for field in fields(method)}, _signature(method)

    def operator(images: DataNode, labels: DataNode, **options: Any) -> tuple[Any, ...]:
        unknown = options.keys() - signature.parameters.keys()
        if unknown:
            known = ", ".join(list(signature.parameters)[2:])
            raise TypeError(f"{method.name} got unknown keywords {sorted(unknown)}; it takes {known}")
        parameters = {name: options.pop(name) for name in own & options.keys()}
        return mix(images, labels, method(**parameters), **options)

    operator.__name__ = operator.__qualname__ = method.name
    operator.__doc__ = (
        f"`dali_ops.mix` with `dalimix.{method.__name__}`; takes the keywords of both.\n\n{method.__doc__}"
    )
    operator.__signature__ = signature  # type: ignore[attr-defined]
    return do_not_convert(operator)


def _signature(method: type[Method]) -> inspect.Signature:
    of_mix = [p for p in inspect.signature(mix).parameters.values() if p.name != "method"]
    of_method = inspect.signature(method).parameters.values()
    keywords = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in of_method]
    return inspect.Signature([*of_mix[:2], *keywords, *of_mix[2:]])


mixup = shortcut(Mixup)
cutmix = shortcut(CutMix)
attentive_cutmix = shortcut(AttentiveCutMix)
token_mix = shortcut(TokenMix)
smmix = shortcut(SMMix)
