"""A vision transformer that also classifies its tokens in groups."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from threading import get_ident
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from dalimix.heatmaps.arguments import described
from dalimix.heatmaps.hooks import find_module, first_tensor, lock_of
from dalimix.heatmaps.tokens import MOST_PREFIX, never_ran

TIMM_HEAD = ("fc_norm", "head_drop", "head")  # what its models put behind the pooling


class TokenClassifier(nn.Module):
    """``logits, target_logits, source_logits = classifier(images, plan.tokens)``, in one run of a model.

    The tokens that show image i and those that show its partner are classified separately: the mean of each group goes
    through the model's head, and `SMMixLoss` compares the results with the labels of the two images (SMMix, arXiv
    2212.12977). The authors' code trains a second head for the tokens; here it is the model's own.

    It is a module because one module has to do it all: wrap it, not the model, with ``DistributedDataParallel`` (not
    ``nn.DataParallel``) and ``torch.compile``, and give its parameters to the optimizer. Threads that call one
    classifier with a mask take turns. The model is its only child, so its ``state_dict`` is the model's with
    ``model.`` before each name. A forward hook stays on `layer`; outside of calls with a mask it does nothing.
    ``copy.deepcopy``, as for a moving average of the weights, gives an independent classifier.

    Args:
        model: image batches [B, C, H, W] to logits [B, classes], or to an output of which they are the first tensor.
        layer: name of the module that gives the tokens [B, prefix + gh·gw, channels] which the model pools and
            classifies, as in ``model.named_modules()``: the norm behind the last block, or a ``nn.TransformerEncoder``
            with that norm inside. Up to 8 tokens before the image's (class token, registers), fewer than the grid has
            rows or columns, belong to no group. What comes after the layer must not change its tokens in place.
            Where the ``nn.MultiheadAttention`` of the layer, or else of the model, has ``batch_first=False``, the
            layer gives [tokens, B, channels].
        head: name of the module that makes logits from pooled tokens [B, channels]; several are run one after the
            other.

    Raises:
        TypeError, ValueError: an argument is not as described. For a wrong name, the error lists the nearest ones.

    Examples:
        >>> classifier = TokenClassifier(vit, layer="layers", head="head")
        >>> source_mask = torch.zeros(4, 8, 8, dtype=torch.bool)
        >>> source_mask[:, :4] = True  # the upper half shows the partner
        >>> logits, target_logits, source_logits = classifier(images, source_mask)
        >>> logits.shape, source_logits.shape
        (torch.Size([4, 3]), torch.Size([4, 3]))
    """

    def __init__(self, model: nn.Module, layer: str, head: str | Sequence[str]) -> None:
        super().__init__()
        module = find_module(model, layer)
        self.layer, self.head = layer, _names(head)
        for name in self.head:
            find_module(model, name, "head")
        self.model, self._kept = model, _Kept()
        self._batch_first = _batch_first(module, model)
        module.register_forward_hook(self._kept)

    @classmethod
    def of_timm(cls, model: nn.Module) -> TokenClassifier:
        """Make the classifier of one of timm's vision transformers, such as ViT, DeiT, DeiT III, BEiT or EVA.

        Raises:
            TypeError: `model` is not built like one; the error says what is missing.
            ValueError: it pools its tokens by something else than ``global_pool="token"`` or ``"avg"``, or has a second
                head for distillation.

        Examples:
            >>> classifier = TokenClassifier.of_timm(timm_vit)
            >>> classifier.layer, classifier.head
            ('norm', ('fc_norm', 'head_drop', 'head'))
        """
        if not isinstance(model, nn.Module):
            raise TypeError(f"model must be a vision transformer of timm, got {described(model)}")
        its = type(model).__name__
        missing = [name for name in ("global_pool", "norm", *TIMM_HEAD) if not hasattr(model, name)]
        if missing:
            none = ", ".join(missing)
            raise TypeError(f"of_timm needs a model that is a vision transformer of timm, but {its} has no {none}")
        if hasattr(model, "head_dist"):
            raise ValueError(f"model {its} has a second head for distillation: of_timm needs a model with one head")
        if model.global_pool not in ("token", "avg"):
            pool = model.global_pool
            raise ValueError(f"of_timm needs a model with global_pool 'token' or 'avg', but {its} has {pool!r}")
        return cls(model, "norm", TIMM_HEAD)

    def forward(self, images: Tensor, source_mask: Tensor | None = None) -> Any:
        """Classify one batch.

        Args:
            images: as the model takes them.
            source_mask: uint8 or bool [B, gh, gw], not 0 where the partner shows, as ``plan.tokens``. None: no groups
                are classified.

        Returns:
            ``(logits, target_logits, source_logits)``, [B, classes] each: what the model returns, and what its head
            returns for the mean of the tokens outside and inside of the mask. The mean of no tokens is 0. Without a
            mask, the logits alone.

        Raises:
            TypeError: the images are not a tensor, or the mask is not uint8 or bool.
            ValueError: the layer did not run, or gave no tokens; mask and tokens do not fit each other.
            RuntimeError: the model changed the tokens in place; the layer ran without a gradient, as in reentrant
                checkpointing, although the model is trained; the call came from ``nn.DataParallel``.
        """
        if not isinstance(images, Tensor):
            raise TypeError(f"images must be a tensor, got {described(images)}")
        if source_mask is None:
            return first_tensor(self.model(images))
        logits, tokens = self._run(images)
        target, source = _group_means(_image_tokens(tokens, source_mask, self.layer), source_mask).unbind(1)
        return logits, self._classify(target), self._classify(source)

    def _run(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The logits, and the tokens [B, N, channels]."""
        if getattr(self, "_is_replica", False):  # replicas share one hook, and run at the same time
            raise RuntimeError("nn.DataParallel cannot run a TokenClassifier: use DistributedDataParallel")
        with nullcontext() if torch.compiler.is_compiling() else lock_of(self):
            logits, output = self._watched(images)
        if output is None:
            raise never_ran(self.layer)
        tokens = self._checked(output.tokens, len(images))
        self._check_as_it_was(output)
        return logits, tokens

    def _watched(self, images: Tensor) -> tuple[Tensor, _Output | None]:
        kept = self._kept
        kept.on, kept.thread = True, _thread()
        try:
            return first_tensor(self.model(images)), kept.output
        finally:
            kept.on, kept.output = False, None

    def _checked(self, tokens: Any, size: int) -> Tensor:
        """[B, N, channels]."""
        order = f"[{size}, N, channels]" if self._batch_first else f"[N, {size}, channels]"
        shape = list(getattr(tokens, "shape", ()))
        if len(shape) != 3 or shape[0 if self._batch_first else 1] != size:
            got = shape or type(tokens).__name__
            raise ValueError(f"module {self.layer!r} must give tokens {order}, got {got}")
        return tokens if self._batch_first else tokens.transpose(0, 1)

    def _check_as_it_was(self, output: _Output) -> None:
        """Refuse tokens that were changed since the layer gave them, or that would train nothing."""
        if output.version is not None and output.tokens._version != output.version:
            raise RuntimeError(f"the model changed the tokens of module {self.layer!r} in place: name a later layer")
        cut = torch.is_grad_enabled() and not output.with_gradient and not output.tokens.requires_grad
        if cut and self._trains_more_than_the_head():
            remedy = "checkpoint with use_reentrant=False, or name a layer behind; freeze what is not to be trained"
            raise RuntimeError(f"module {self.layer!r} ran without a gradient, so its tokens train nothing: {remedy}")

    def _trains_more_than_the_head(self) -> bool:
        head = {id(parameter) for name in self.head for parameter in self.model.get_submodule(name).parameters()}
        return any(parameter.requires_grad and id(parameter) not in head for parameter in self.model.parameters())

    def _classify(self, features: Tensor) -> Tensor:
        for name in self.head:
            features = self.model.get_submodule(name)(features)
        return features


class _Output(NamedTuple):
    """What a layer gave, whether gradients were enabled, and how often it had been changed in place by then."""

    tokens: Any
    with_gradient: bool
    version: int | None


class _Kept:
    """The forward hook: keeps the last output of its module while it is on.

    It is registered once for good, because a hook that comes and goes within a call cannot be compiled. It is an
    object, not a function, so that a copy of the classifier gets a copy of it. Other threads that use the model are
    ignored.
    """

    def __init__(self) -> None:
        self.on, self.thread = False, 0
        self.output: _Output | None = None

    def __call__(self, module: nn.Module, args: Any, output: Any) -> None:
        if self.on and (torch.compiler.is_compiling() or self.thread == get_ident()):
            tokens = first_tensor(output)
            self.output = _Output(tokens, torch.is_grad_enabled(), _version(tokens))


def _thread() -> int:
    """This thread; 0 in compiled code, which cannot ask for its thread and keeps nothing between its calls."""
    return 0 if torch.compiler.is_compiling() else get_ident()


def _version(tokens: Any) -> int | None:
    """How often the tokens were changed in place; None where torch does not count."""
    if torch.compiler.is_compiling() or not isinstance(tokens, Tensor) or tokens.is_inference():
        return None
    version: int | None = tokens._version
    return version


def _names(head: Any) -> tuple[str, ...]:
    if not isinstance(head, (str, Sequence)):
        raise TypeError(f"head must be a name as in model.named_modules(), or several of them, got {head!r}")
    if not head:
        raise ValueError(f"head must name at least one module, got {head!r}")
    return (head,) if isinstance(head, str) else tuple(head)


def _batch_first(module: nn.Module, model: nn.Module) -> bool:
    """Whether the attention in `module` has ``batch_first``; if it has none, as a norm, the attention in `model`."""
    inside = (inner for outer in (module, model) for inner in outer.modules())
    attention = next((inner for inner in inside if isinstance(inner, nn.MultiheadAttention)), None)
    return attention is None or attention.batch_first


def _image_tokens(tokens: Tensor, mask: Tensor, layer: str) -> Tensor:
    """[B, gh·gw, channels]: the tokens without those before the image's.

    Raises:
        TypeError: `mask` is not a tensor of uint8 or bool.
        ValueError: it does not fit the tokens.
    """
    if not isinstance(mask, Tensor) or mask.dtype not in (torch.uint8, torch.bool):
        raise TypeError(f"source_mask must be a tensor of uint8 or bool, such as plan.tokens, got {described(mask)}")
    if mask.ndim != 3 or len(mask) != len(tokens):
        raise ValueError(f"source_mask must be [{len(tokens)}, gh, gw], one for each image, got {list(mask.shape)}")
    rows, columns = mask.shape[1:]
    prefix = tokens.shape[1] - rows * columns
    most = min(MOST_PREFIX, rows - 1, columns - 1)  # a whole row or column would be of the image, of another grid
    if not 0 <= prefix <= most:
        got = f"{rows} × {columns} = {rows * columns}, before which may be {most} at most"
        raise ValueError(f"module {layer!r} gave {tokens.shape[1]} tokens, but the grid of source_mask has {got}")
    return tokens[:, prefix:]


def _group_means(tokens: Tensor, source_mask: Tensor) -> Tensor:
    """[B, 2, channels]: means of the tokens [B, N, channels] outside of the mask and inside, 0 where there are none.

    Summed in float32 at least, also under autocast: in float16 a sum of many tokens could overflow.
    """
    wide = torch.promote_types(tokens.dtype, torch.float32)
    source = source_mask.flatten(1) != 0
    groups = torch.stack([~source, source], 1).to(wide)
    with torch.autocast(tokens.device.type, enabled=False):
        means = groups @ tokens.to(wide) / groups.sum(2, keepdim=True).clamp(min=1)
    return means.to(tokens.dtype)
