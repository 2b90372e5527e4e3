"""One function per method: ``cutmix(images, labels, alpha=1, …)`` is ``mix(images, labels, CutMix(alpha=1), …)``."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, Literal, TypedDict, TypeVar

from nvidia.dali.data_node import DataNode

from dali_ops.decorators import plain_python
from dali_ops.operators.mix import mix
from dali_ops.operators.pixels import PerChannel
from dalimix import AttentiveCutMix, CutMix, Erase, Method, Mixup, SMMix, TokenMix, checks
from dalimix.methods.base import Pairing, Per

if TYPE_CHECKING:
    from typing_extensions import Unpack

Operator = TypeVar("Operator", bound=Callable[..., Any])
OF_METHODS = ("prob", "per", "pairing")


class Options(TypedDict, total=False):
    """What all shortcuts take: the fields that all methods share, and the keywords of `dali_ops.mix`."""

    prob: float
    per: Per
    pairing: Pairing
    num_classes: int | None
    heatmaps: DataNode | None
    erase: Erase | None
    mirror: DataNode | int | None
    mean: PerChannel | None
    std: PerChannel | None
    dtype: Any
    layout: checks.Layout | None
    output_layout: checks.Layout | None
    smoothing: float
    form: Literal["dense", "pair"]
    return_plan: bool
    seed: int | None
    device: Any


def _shortcut(method: type[Method]) -> Callable[[Operator], Operator]:
    """Answer unknown keywords with the known ones, and show `help` and `inspect` those of the method and of `mix`."""

    def decorate(operator: Operator) -> Operator:
        signature = _signature(method)

        @wraps(operator)
        def checked(images: DataNode, labels: DataNode, **options: Any) -> Any:
            unknown = options.keys() - signature.parameters.keys()
            if unknown:
                known = ", ".join(list(signature.parameters)[2:])
                raise TypeError(f"{method.name} got unknown keywords {sorted(unknown)}; it takes {known}")
            return operator(images, labels, **options)

        shown: Any = checked
        shown.__doc__, shown.__signature__ = _docstring(operator, method), signature
        return plain_python(shown)  # type: ignore[no-any-return]

    return decorate


def _docstring(operator: Callable[..., Any], method: type[Method]) -> str:
    """The docstring of the method between the operator's first line and its examples."""
    first, heading, examples = inspect.cleandoc(operator.__doc__ or "").partition("Examples:\n")
    of_method = inspect.cleandoc(method.__doc__ or "").partition("Examples:\n")[0]
    return f"{first}{of_method}{heading}{examples}"


def _signature(method: type[Method]) -> inspect.Signature:
    of_mix = [p for p in inspect.signature(mix).parameters.values() if p.name != "method"]
    of_method = inspect.signature(method).parameters.values()
    keywords = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in of_method]
    return inspect.Signature([*of_mix[:2], *keywords, *of_mix[2:]])


def _mixed(
    method: type[Method], images: DataNode, labels: DataNode, options: Options, **parameters: Any
) -> tuple[Any, ...]:
    given: dict[str, Any] = dict(options)
    shared = {name: given.pop(name) for name in OF_METHODS if name in given}
    return mix(images, labels, method(**parameters, **shared), **given)


@_shortcut(Mixup)
def mixup(images: DataNode, labels: DataNode, *, alpha: float = 0.8, **options: Unpack[Options]) -> tuple[Any, ...]:
    """`dali_ops.mix` with `dalimix.Mixup`; takes the keywords of both.

    Examples:
        >>> @pipeline_def(batch_size=4, num_threads=2, device_id=None)
        ... def training():
        ...     images, labels = read(folder)
        ...     return mixup(images, labels, alpha=0.2, num_classes=3, output_layout="CHW")
        >>> images, targets = training().run()
    """
    return _mixed(Mixup, images, labels, options, alpha=alpha)


@_shortcut(CutMix)
def cutmix(
    images: DataNode,
    labels: DataNode,
    *,
    alpha: float = 1.0,
    ratio_minmax: tuple[float, float] | None = None,
    correct_lam: bool = True,
    **options: Unpack[Options],
) -> tuple[Any, ...]:
    """`dali_ops.mix` with `dalimix.CutMix`; takes the keywords of both.

    Examples:
        >>> @pipeline_def(batch_size=4, num_threads=2, device_id=None)
        ... def training():
        ...     images, labels = read(folder)
        ...     return cutmix(images, labels, alpha=1.0, num_classes=3, mean=127.5, std=64.0, dtype="float16")
        >>> images, targets = training().run()
    """
    own = {"alpha": alpha, "ratio_minmax": ratio_minmax, "correct_lam": correct_lam}
    return _mixed(CutMix, images, labels, options, **own)


@_shortcut(AttentiveCutMix)
def attentive_cutmix(
    images: DataNode, labels: DataNode, *, top: int | tuple[int, int] = 6, grid: int = 7, **options: Unpack[Options]
) -> tuple[Any, ...]:
    """`dali_ops.mix` with `dalimix.AttentiveCutMix`; takes the keywords of both.

    Examples:
        >>> @pipeline_def(batch_size=4, num_threads=2, device_id=None)
        ... def training():
        ...     images, labels = read(folder)
        ...     heatmaps = model_heatmaps(images, FeatureHeatmap(cnn, "features", mean=127.5, std=64.0))
        ...     return attentive_cutmix(images, labels, top=6, grid=7, num_classes=3, heatmaps=heatmaps)
        >>> images, targets = training().run()
    """
    return _mixed(AttentiveCutMix, images, labels, options, top=top, grid=grid)


@_shortcut(TokenMix)
def token_mix(
    images: DataNode,
    labels: DataNode,
    *,
    lam: float = 0.5,
    alpha: float | None = None,
    grid: int = 14,
    min_tokens: int = 14,
    blocks: bool = True,
    **options: Unpack[Options],
) -> tuple[Any, ...]:
    """`dali_ops.mix` with `dalimix.TokenMix`; takes the keywords of both.

    Examples:
        >>> @pipeline_def(batch_size=4, num_threads=2, device_id=None)
        ... def training():
        ...     images, labels = read(folder)
        ...     mixed, targets, plan = token_mix(images, labels, grid=8, num_classes=3, return_plan=True)
        ...     return mixed, targets, plan.tokens
        >>> training().run()[2].shape()[0]
        (8, 8)
    """
    own = {"lam": lam, "alpha": alpha, "grid": grid, "min_tokens": min_tokens, "blocks": blocks}
    return _mixed(TokenMix, images, labels, options, **own)


@_shortcut(SMMix)
def smmix(
    images: DataNode,
    labels: DataNode,
    *,
    min_side: float = 0.25,
    max_side: float = 0.75,
    grid: int | tuple[int, int] = 14,
    **options: Unpack[Options],
) -> tuple[Any, ...]:
    """`dali_ops.mix` with `dalimix.SMMix`; takes the keywords of both.

    Examples:
        >>> @pipeline_def(batch_size=4, num_threads=2, device_id=None)
        ... def training():
        ...     images, labels = read(folder)
        ...     heatmaps = model_heatmaps(images, AttentionHeatmap(vit, "layers", mean=127.5, std=64.0))
        ...     return smmix(images, labels, grid=8, num_classes=3, heatmaps=heatmaps)
        >>> images, targets = training().run()
    """
    return _mixed(SMMix, images, labels, options, min_side=min_side, max_side=max_side, grid=grid)
