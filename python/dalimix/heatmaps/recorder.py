"""Reads attention off PyTorch's operators while they run."""

from __future__ import annotations

from inspect import signature
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import multi_head_attention_forward, scaled_dot_product_attention
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

SOFTMAX = ("aten::_softmax", "aten::_safe_softmax")  # every softmax ends in one of these


class AttentionRecorder(TorchDispatchMode):
    """While it is entered, keeps the last softmax over the rows of square matrices, averaged over the heads.

    A softmax of another shape (class probabilities, attention to another set of tokens) is ignored.

    Attributes:
        ran: whether the watched module ran at all; set by the hook that enters the recorder.
        shape: of the attention that was recorded: [B, heads, N, N] or [B·heads, N, N]; None if there was none.
        mean: float32 [B, N, N], rows are queries; None if the shape is another one.
    """

    def __init__(self, batch_size: int) -> None:
        super().__init__()
        self.batch_size, self.ran = batch_size, False
        self.shape: list[int] | None = None
        self.mean: Tensor | None = None

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        with self:  # in inference mode, operators come here before they are taken apart into those that compute
            output = func.decompose(*args, **kwargs)
        if output is not NotImplemented:
            return output
        output = func(*args, **kwargs)
        if func._schema.name in SOFTMAX and _is_square(output, args[1]):
            self._keep(output)
        return output

    def _keep(self, attention: Tensor) -> None:
        """Take the mean at once: it is smaller, and what comes next may change `attention` in place."""
        self.shape, self.mean = list(attention.shape), None
        rows, size = attention.shape[0], self.batch_size
        if (attention.ndim == 4 and rows == size) or (attention.ndim == 3 and rows % size == 0):
            self.mean = attention.unflatten(0, (size, -1)).flatten(1, -3).mean(1, dtype=torch.float32)


def _is_square(output: Tensor, dim: int) -> bool:
    return output.ndim >= 3 and output.shape[-1] == output.shape[-2] and dim in (-1, output.ndim - 1)


class Unfused(TorchFunctionMode):
    """While it is entered, the fused layers of `torch.nn` are off; while it is `active`, attention shows its softmax.

    `torch.nn.MultiheadAttention` and its encoder layer do not use their fused kernels while such a mode is entered, so
    being such a mode is all that they need.
    """

    def __init__(self) -> None:
        super().__init__()
        self.active = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self.active and func is scaled_dot_product_attention:
            _show_softmax(*args, **kwargs)
        if self.active and func is multi_head_attention_forward:
            return _with_weights(args, kwargs)
        return func(*args, **kwargs)


def _show_softmax(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    **rest: Any,
) -> None:
    """Do step by step, in float32, what the fused kernel is about to do, for the recorder; the result is dropped."""
    if attn_mask is not None:  # True is where a query may look
        hidden = attn_mask.logical_not() if attn_mask.dtype == torch.bool else None
        attn_mask = attn_mask.float() if hidden is None else hidden.float().masked_fill_(hidden, float("-inf"))
    step_by_step = torch.ops.aten._scaled_dot_product_attention_math
    with torch.autocast(query.device.type, enabled=False):
        step_by_step(query.float(), key.float(), value.float(), attn_mask, 0.0, is_causal, None, **rest)


def _with_weights(args: Any, kwargs: Any) -> Any:
    """Run the attention of `torch.nn` and ask for its weights, because then it does not fuse."""
    call = signature(multi_head_attention_forward).bind(*args, **kwargs)
    asked = call.arguments.get("need_weights", True)
    call.arguments["need_weights"] = True
    output, weights = multi_head_attention_forward(*call.args, **call.kwargs)
    return output, weights if asked else None
