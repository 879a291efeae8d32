"""A small vision transformer (Dosovitskiy et al. 2021) of plain Linear layers, so that attention can be pruned."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class Attention(nn.Module):
    """Multi-head self-attention; query, key and value are one Linear layer, which counts as prunable like any other."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width is {width} and heads {heads}; heads must divide the width")
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        q, k, v = self.qkv(x).view(batch, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(q, k, v)
        return self.out(mixed.transpose(1, 2).reshape(batch, tokens, width))


class Block(nn.Module):
    """Layer norm before attention and before the MLP of four times the width."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(width), Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class SmallViT(nn.Module):
    """Patches by a strided convolution, learned positions, blocks, mean over tokens, one linear layer."""

    def __init__(
        self, channels: int, size: int, classes: int, patch: int = 4, width: int = 192, depth: int = 6, heads: int = 3
    ) -> None:
        super().__init__()
        if size % patch:
            raise ValueError(f"the input is {size} pixels wide and the patch {patch}; the patch must divide the input")
        self.patches = nn.Conv2d(channels, width, patch, stride=patch)
        self.positions = nn.Parameter(torch.zeros(1, (size // patch) ** 2, width))
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def draw_own(self, generator: torch.Generator) -> None:
        """The positions: normal with deviation 0.02 (Dosovitskiy et al. 2021), in place."""
        self.positions.normal_(0.0, 0.02, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2) + self.positions
        return self.head(self.norm(self.blocks(tokens)).mean(dim=1))
