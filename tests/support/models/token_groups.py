"""Tokens in two groups by a mask: the inputs, and the means by loops over the tokens."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

B, GRID = 3, 4


class Direct(nn.Module):
    """Reads tokens instead of images, so that a test says what they are."""

    def __init__(self, head: Any = None) -> None:
        super().__init__()
        self.layer, self.head = nn.Identity(), head or nn.Identity()

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.layer(tokens).mean(1))


def masks(rows: int = GRID, columns: int = GRID, seed: int = 1) -> Tensor:
    """One with some tokens, one with none, one with all."""
    mask = torch.randint(0, 2, (B, rows, columns), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
    mask[1], mask[2] = 0, 1
    return mask


def images(side: int = 32) -> Tensor:
    return torch.randn(B, 3, side, side, generator=torch.Generator().manual_seed(2))


def mean_by_loops(tokens: Tensor, mask: Tensor, wanted: int, prefix: int = 0) -> Tensor:
    """Of the tokens [N, C] of one image where `mask` is `wanted`; 0 if there are none."""
    total, count = torch.zeros_like(tokens[0]), 0
    for token, cell in zip(tokens[prefix:], mask.flatten().tolist(), strict=True):
        if cell == wanted:
            total, count = total + token, count + 1
    return total / max(count, 1)


def groups_by_loops(tokens: Tensor, mask: Tensor, prefix: int = 0) -> list[Tensor]:
    return [torch.stack([mean_by_loops(t, m, k, prefix) for t, m in zip(tokens, mask, strict=True)]) for k in (0, 1)]


def equal(got: Any, expected: Any, atol: float = 1e-6) -> None:
    assert len(got) == len(expected)
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=atol)
