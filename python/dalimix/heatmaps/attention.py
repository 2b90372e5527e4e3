"""Heatmaps of a vision transformer: where its attention is."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from dalimix.heatmaps.base import ModelHeatmap
from dalimix.heatmaps.tokens import lay_out, never_ran

if TYPE_CHECKING:
    from torch import Tensor, nn

    from dalimix.heatmaps.recorder import AttentionRecorder

HEADS = ("num_heads", "num_attention_heads", "n_heads", "heads")  # what models call their number


class AttentionHeatmap(ModelHeatmap):
    """The mean, over heads and queries, of the attention that a module computes, such as the last one of a ViT.

    SMMix, arXiv 2212.12977, mixes by it. Tokens before the image's (class token, registers) count neither as queries
    nor as keys.

    `layer` names an attention module or the block around it, of any model whose attention goes through PyTorch's
    softmax or `scaled_dot_product_attention`, fused or not; if there are several, the last one over N × N tokens
    counts. Heads must lie next to each other within each image, [B, heads, N, N] or [B·heads, N, N], as in the models
    of torch, timm and Hugging Face. For this one layer, all weights are computed and held in memory for a moment.
    Arguments, call and errors are as in `ModelHeatmap`. Kernels outside of PyTorch are a `ValueError`, and so is
    attention within windows of the image, unless it is [B·windows·heads, N, N] and the module does not say how many
    heads it has.

    Examples:
        >>> provider = AttentionHeatmap(vit, "layers", mean=0.5, std=0.25)
        >>> heatmaps = provider(images)
        >>> heatmaps.shape, heatmaps.dtype
        (torch.Size([4, 8, 8]), torch.float32)
    """

    @staticmethod
    def _suits(module: nn.Module) -> bool:
        return bool(_numbers_of_heads(module))

    def _watch(self, batch_size: int) -> AbstractContextManager[AttentionRecorder]:
        from dalimix.heatmaps.hooks import attention_of

        return attention_of(self._module, batch_size)

    def _heatmaps(self, seen: AttentionRecorder, output: object, labels: Tensor | None, pixels: Tensor) -> Tensor:
        attention = self._mean_of_heads(seen)
        grid, prefix = lay_out(attention.shape[2], self.layer, self.grid, pixels)
        return attention[:, prefix:, prefix:].mean(1).unflatten(1, grid)

    def _mean_of_heads(self, seen: AttentionRecorder) -> Tensor:
        """[B, N, N]; rows are queries."""
        if not seen.ran:
            raise never_ran(self.layer)
        if seen.shape is None:
            none = f"module {self.layer!r} computed no attention: PyTorch ran no softmax over N × N tokens"
            raise ValueError(f"{none}{self._remedy()}")
        rows = seen.batch_size * (_heads(self._module) or 0)
        if seen.mean is None or (len(seen.shape) == 3 and rows not in (0, seen.shape[0])):
            expected = f"[B, heads, N, N] or [B·heads, N, N] of batch size {seen.batch_size}"
            raise ValueError(f"module {self.layer!r} has attention {seen.shape}, expected {expected} (no windows)")
        return seen.mean

    def _remedy(self) -> str:
        """What to name in place of a module in which there is no attention, such as a linear layer."""
        last = [name for name, module in self.model.named_modules() if name and self._suits(module)][-1:]
        inside = any(map(self._suits, self._module.modules()))
        return f"; name an attention module, such as {last[0]!r}" if last and not inside else ""


def _heads(module: nn.Module) -> int | None:
    """The number of heads by the attributes of `module` and its parts; None if these do not agree on one number."""
    numbers = set().union(*map(_numbers_of_heads, module.modules()))
    return numbers.pop() if len(numbers) == 1 else None


def _numbers_of_heads(module: nn.Module) -> set[int]:
    return {number for name in HEADS if type(number := getattr(module, name, None)) is int}
