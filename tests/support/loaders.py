"""Loaders, told flatly what a test is about: ``ImageFolderLoader(root, **grouped(size=32, seed=1))``."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from dali_ops import Eval, Loader, Runtime, Targets, Train


def grouped(*, training: bool = True, **flat: Any) -> dict[str, Any]:
    """The keywords of a loader, from those of its transform, targets and runtime beside its own."""
    kinds = {"transform": Train if training else Eval, "targets": Targets, "runtime": Runtime}
    keywords: dict[str, Any] = {}
    for name, kind in kinds.items():
        own = {field.name: flat.pop(field.name) for field in fields(kind) if field.name in flat}
        if own or kind is Eval:
            keywords[name] = kind(**own)
    return {**keywords, **flat}


def sized(loader: Loader, size: Any) -> Train | Eval:
    """The transform of a loader, with another size."""
    return replace(loader.transform, size=size)
