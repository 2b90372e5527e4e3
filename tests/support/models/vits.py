"""Vision transformers as torch, timm and Hugging Face write them, small; each attention knows its own weights."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

SIDE, PATCH, DIM, HEADS = 32, 8, 16, 2


def sharp(module: nn.Module) -> nn.Module:
    """Larger weights: attention that is nearly uniform would hide mistakes."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(4)
    return module


class Qkv(nn.Module):
    """As timm writes it: one projection, a flag that chooses PyTorch's fused attention; `weights` is the formula."""

    def __init__(self, fused: bool = True) -> None:
        super().__init__()
        self.num_heads, self.fused_attn, self.scale = HEADS, fused, (DIM // HEADS) ** -0.5
        self.qkv, self.proj = nn.Linear(DIM, 3 * DIM), nn.Linear(DIM, DIM)
        self.q_norm, self.k_norm = nn.LayerNorm(DIM // HEADS), nn.LayerNorm(DIM // HEADS)

    def split(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = self.qkv(x).reshape(*x.shape[:2], 3, HEADS, DIM // HEADS).permute(2, 0, 3, 1, 4)
        return self.q_norm(q), self.k_norm(k), v

    def weights(self, x: Tensor) -> Tensor:
        q, k, _ = self.split(x)
        return (q * self.scale @ k.transpose(-2, -1)).softmax(-1)

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        if self.fused_attn:
            return nn.functional.scaled_dot_product_attention(q, k, v)
        return ((q * self.scale) @ k.transpose(-2, -1)).softmax(dim=-1) @ v

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(self.attend(*self.split(x)).transpose(1, 2).flatten(2))


class Eager(Qkv):
    """As Hugging Face writes it: a softmax in float32, dropout in place, a tuple. (Plus: the weights are spoilt.)"""

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.split(x)
        weights = nn.functional.softmax(q @ k.transpose(-2, -1) * self.scale, dim=-1, dtype=torch.float32).to(q.dtype)
        mixed = (nn.functional.dropout(weights, 0.5, self.training, inplace=True) @ v).transpose(1, 2).flatten(2)
        weights.zero_()
        return self.proj(mixed), weights


class Torch(nn.Module):
    """`torch.nn.MultiheadAttention`; `seq_first` is its own default order [N, B, C]."""

    def __init__(self, need_weights: bool = True, seq_first: bool = False) -> None:
        super().__init__()
        self.mha = nn.MultiheadAttention(DIM, HEADS, batch_first=not seq_first)
        self.need_weights, self.seq_first = need_weights, seq_first

    def turned(self, x: Tensor) -> Tensor:
        return x.transpose(0, 1) if self.seq_first else x

    def weights(self, x: Tensor) -> Tensor:
        x = self.turned(x)
        return self.mha(x, x, x, need_weights=True, average_attn_weights=False)[1]

    def forward(self, x: Tensor) -> Tensor:
        x = self.turned(x)
        mixed, weights = self.mha(x, x, x, need_weights=self.need_weights)
        assert (weights is not None) == self.need_weights
        return self.turned(mixed)


KINDS: dict[str, Callable[[], nn.Module]] = {
    "fused": Qkv,
    "explicit": lambda: Qkv(fused=False),
    "eager": Eager,
    "mha": Torch,
    "mha-no-weights": lambda: Torch(need_weights=False),
    "mha-seq-first": lambda: Torch(seq_first=True),
    "mha-seq-first-no-weights": lambda: Torch(need_weights=False, seq_first=True),
}


class Block(nn.Module):
    def __init__(self, attn: nn.Module) -> None:
        super().__init__()
        self.norm, self.attn = nn.LayerNorm(DIM), attn

    def forward(self, x: Tensor) -> Tensor:
        mixed = self.attn(self.norm(x))
        return x + (mixed[0] if isinstance(mixed, tuple) else mixed)


class Vit(nn.Module):
    """Patches, `prefix` tokens before them, blocks, and a head on the mean."""

    def __init__(self, *blocks: nn.Module, prefix: int = 1) -> None:
        super().__init__()
        self.embed, self.prefix = nn.Conv2d(3, DIM, PATCH, PATCH), nn.Parameter(torch.randn(1, prefix, DIM))
        self.blocks, self.head = nn.Sequential(*blocks), nn.Linear(DIM, 5)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.embed(images).flatten(2).transpose(1, 2)
        return self.head(self.blocks(torch.cat([self.prefix.expand(len(images), -1, -1), tokens], 1)).mean(1))


def vit(kind: str = "fused", prefix: int = 1) -> Vit:
    torch.manual_seed(0)
    return Vit(*(Block(sharp(KINDS[kind]())) for _ in range(3)), prefix=prefix)


class Timm(nn.Module):
    """As timm writes its vision transformers: class token and registers, pooling by name, norm before or behind it."""

    def __init__(self, global_pool: str = "token", registers: int = 0, classes: int = 5) -> None:
        super().__init__()
        self.global_pool, self.prefix = global_pool, 1 + registers
        mean = global_pool == "avg"
        self.patch_embed, self.cls_token = nn.Conv2d(3, DIM, PATCH, PATCH), nn.Parameter(torch.randn(1, 1, DIM))
        self.reg_token = nn.Parameter(torch.randn(1, registers, DIM))
        self.pos_embed = nn.Parameter(torch.randn(1, (SIDE // PATCH) ** 2, DIM))
        self.blocks = nn.Sequential(*(Block(sharp(Qkv())) for _ in range(2)))
        self.norm = nn.Identity() if mean else nn.LayerNorm(DIM)
        self.fc_norm = nn.LayerNorm(DIM) if mean else nn.Identity()
        self.head_drop, self.head = nn.Dropout(0.0), nn.Linear(DIM, classes)

    def forward_features(self, images: Tensor) -> Tensor:
        tokens = self.patch_embed(images).flatten(2).transpose(1, 2) + self.pos_embed
        before = [token.expand(len(images), -1, -1) for token in (self.cls_token, self.reg_token)]
        return self.norm(self.blocks(torch.cat([*before, tokens], 1)))

    def forward_head(self, tokens: Tensor) -> Tensor:
        pooled = tokens[:, 0] if self.global_pool == "token" else tokens[:, self.prefix :].mean(1)
        return self.head(self.head_drop(self.fc_norm(pooled)))

    def forward(self, images: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(images))


class Small(nn.Module):
    """Of torch's own blocks, as in examples/: patches, their places, a `TransformerEncoder`, a head on the mean."""

    def __init__(
        self,
        classes: int = 5,
        side: int = SIDE,
        patch: int = 4,
        width: int = DIM,
        depth: int = 2,
        batch_first: bool = True,
    ) -> None:
        super().__init__()
        self.patches, self.batch_first = nn.Conv2d(3, width, patch, patch), batch_first
        self.places = nn.Parameter(torch.randn((side // patch) ** 2, width))
        layer = nn.TransformerEncoderLayer(
            width, 2, 2 * width, dropout=0, activation="gelu", batch_first=batch_first, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, depth, nn.LayerNorm(width), enable_nested_tensor=False)
        self.head = nn.Linear(width, classes)
        sharp(self.layers.layers)

    def tokens(self, images: Tensor) -> Tensor:
        tokens = self.patches(images).flatten(2).mT + self.places
        return self.layers(tokens) if self.batch_first else self.layers(tokens.transpose(0, 1)).transpose(0, 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.tokens(images).mean(1))
