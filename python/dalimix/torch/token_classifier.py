"""A vision transformer that classifies its tokens in groups, too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from dalimix.heatmaps.hooks import find_module, first_tensor
from dalimix.heatmaps.tokens import MOST_PREFIX, never_ran

TIMM_HEAD = ("fc_norm", "head_drop", "head")  # what its models put behind the pooling


class TokenClassifier(nn.Module):
    """``logits, target_logits, source_logits = classifier(images, plan.tokens)``, in one run of a model.

    The tokens that show image i and those that show its partner are classified each on their own: the mean of each
    group goes through the model's head. `SMMixLoss` compares that with the labels of the two.

    It is a module because one module has to do it all: wrap it, not the model, with ``DistributedDataParallel`` and
    ``torch.compile``, and give its parameters to the optimizer. The model is its only child, so that its ``state_dict``
    is the model's with ``model.`` before each name. A forward hook stays on `layer`; outside of calls with a mask it
    does nothing. ``copy.deepcopy``, as for a moving average of the weights, gives a classifier of its own.

    Args:
        model: image batches [B, C, H, W] to logits [B, classes], or to something of which they are the first tensor.
        layer: name of the module that gives the tokens [B, prefix + gh·gw, channels] which the model pools and
            classifies, as in ``model.named_modules()``: the norm behind the last block, or a ``nn.TransformerEncoder``
            with that norm inside. Up to 8 tokens before the image's (class token, registers) belong to no group.
            Where the ``nn.MultiheadAttention`` of the layer, or else of the model, has ``batch_first=False``, the
            layer gives [tokens, B, channels].
        head: name of the module that makes logits of pooled tokens [B, channels]; several are run one after the other.

    Raises:
        TypeError, ValueError: an argument is not as described. A wrong name is answered with the nearest ones.
    """

    def __init__(self, model: nn.Module, layer: str, head: str | Sequence[str]) -> None:
        super().__init__()
        module = find_module(model, layer)
        self.layer, self.head = layer, (head,) if isinstance(head, str) else tuple(head)
        for name in self.head:
            find_module(model, name)
        self.model, self._kept = model, _Kept()
        self._batch_first = _batch_first(module, model)
        module.register_forward_hook(self._kept)

    @classmethod
    def of_timm(cls, model: nn.Module) -> TokenClassifier:
        """Of one of timm's vision transformers, such as ViT, DeiT, DeiT III, BEiT or EVA.

        Raises:
            TypeError: `model` has not what they have; the error says what is missing.
            ValueError: it pools its tokens by anything else than ``global_pool="token"`` or ``"avg"``, or has a second
                head for distillation.
        """
        kind = type(model).__name__
        missing = [name for name in ("global_pool", "norm", *TIMM_HEAD) if not hasattr(model, name)]
        if missing:
            raise TypeError(f"of_timm needs a vision transformer of timm, but {kind} has no {', '.join(missing)}")
        if hasattr(model, "head_dist"):
            raise ValueError(f"{kind} has a second head for distillation: of_timm needs a model with one head")
        if model.global_pool not in ("token", "avg"):
            raise ValueError(f"of_timm needs global_pool 'token' or 'avg', but {kind} has {model.global_pool!r}")
        return cls(model, "norm", TIMM_HEAD)

    def forward(self, images: Tensor, source_mask: Tensor | None = None) -> Any:
        """Classify one batch.

        Args:
            images: as the model takes them.
            source_mask: uint8 or bool [B, gh, gw], not 0 where the partner shows, as ``plan.tokens``. None: no groups
                are classified.

        Returns:
            ``(logits, target_logits, source_logits)``, [B, classes] each: what the model gives, and what its head gives
            for the mean of the tokens outside of the mask and inside. The mean of no tokens is 0. Without a mask, the
            logits alone.

        Raises:
            TypeError: the mask is no tensor of uint8 or bool.
            ValueError: the layer did not run, or gave no tokens; mask and tokens do not fit each other.
        """
        if source_mask is None:
            return first_tensor(self.model(images))
        logits, tokens = self._run(images)
        target, source = _group_means(_image_tokens(tokens, source_mask, self.layer), source_mask).unbind(1)
        return logits, self._classify(target), self._classify(source)

    def _run(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The logits, and the tokens [B, N, channels]."""
        self._kept.on = True
        try:
            logits, tokens = first_tensor(self.model(images)), self._kept.output
        finally:
            self._kept.on, self._kept.output = False, None
        if tokens is None:
            raise never_ran(self.layer)
        return logits, self._checked(tokens, len(images))

    def _checked(self, tokens: Any, size: int) -> Tensor:
        """[B, N, channels]."""
        order = f"[{size}, N, channels]" if self._batch_first else f"[N, {size}, channels]"
        shape = list(getattr(tokens, "shape", ()))
        if len(shape) != 3 or shape[0 if self._batch_first else 1] != size:
            got = shape or type(tokens).__name__
            raise ValueError(f"module {self.layer!r} must give tokens {order}, got {got}")
        return tokens if self._batch_first else tokens.transpose(0, 1)

    def _classify(self, features: Tensor) -> Tensor:
        for name in self.head:
            features = self.model.get_submodule(name)(features)
        return features


class _Kept:
    """The forward hook: keeps what its module gave last, while it is on.

    It is put on once and for all, because a hook that comes and goes within a call cannot be compiled. An object, not
    a function, so that a copy of the classifier gets a copy of it.
    """

    def __init__(self) -> None:
        self.on, self.output = False, None

    def __call__(self, module: nn.Module, args: Any, output: Any) -> None:
        if self.on:
            self.output = first_tensor(output)


def _batch_first(module: nn.Module, model: nn.Module) -> bool:
    """As the attention inside of `module` has it; a norm has none, so then as that of the model."""
    inside = (inner for outer in (module, model) for inner in outer.modules())
    attention = next((inner for inner in inside if isinstance(inner, nn.MultiheadAttention)), None)
    return attention is None or attention.batch_first


def _image_tokens(tokens: Tensor, mask: Tensor, layer: str) -> Tensor:
    """[B, gh·gw, channels]: those without the ones before the image's.

    Raises:
        TypeError: `mask` is no tensor of uint8 or bool.
        ValueError: it does not fit the tokens.
    """
    if not isinstance(mask, Tensor) or mask.dtype not in (torch.uint8, torch.bool):
        got = mask.dtype if isinstance(mask, Tensor) else type(mask)
        raise TypeError(f"source_mask must be a tensor of uint8 or bool, such as plan.tokens, got {got}")
    if mask.ndim != 3 or len(mask) != len(tokens):
        raise ValueError(f"source_mask must be [{len(tokens)}, gh, gw], one for each image, got {list(mask.shape)}")
    rows, columns = mask.shape[1:]
    prefix = tokens.shape[1] - rows * columns
    if not 0 <= prefix <= MOST_PREFIX:
        got = f"{rows} × {columns} = {rows * columns}"
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
