"""Residual networks: ResNet-20/32/56 for small images (He et al. 2016, section 4.2), ResNet-18, Wide-ResNet-28-k.

Two ResNet-20s are in use and they are not the same network (option A and B of He et al. 2016): DLTH's shortcuts carry
no parameters (269,722 for ResNet-20, 853,018 for ResNet-56), those of the lottery-ticket literature are a convolution
and a batch norm (272,474 for ResNet-20). The name says which: `resnet20` is option B, `resnet20-a` option A.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class PaddedShortcut(nn.Module):
    """Option A: every second pixel, missing channels filled with zeros on both sides; no parameters."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.before = (width_out - width_in) // 2
        self.after = width_out - width_in - self.before

    def forward(self, x: Tensor) -> Tensor:
        return functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.before, self.after))


def shortcut(width_in: int, width_out: int, stride: int, option: str) -> nn.Module:
    """The identity where shapes agree, otherwise option A or B."""
    if stride == 1 and width_in == width_out:
        return nn.Identity()
    if option == "A":
        return PaddedShortcut(width_in, width_out)
    return nn.Sequential(
        nn.Conv2d(width_in, width_out, 1, stride=stride, bias=False),
        nn.BatchNorm2d(width_out),
    )


class BasicBlock(nn.Module):
    """Two 3x3 convolutions, batch norm after each, and a shortcut (post-activation)."""

    def __init__(self, width_in: int, width_out: int, stride: int, option: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width_out, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width_out)
        self.conv2 = nn.Conv2d(width_out, width_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width_out)
        self.shortcut = shortcut(width_in, width_out, stride, option)

    def forward(self, x: Tensor) -> Tensor:
        out = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(out)) + self.shortcut(x))


class WideBlock(nn.Module):
    """Batch norm and ReLU before each 3x3 convolution (Zagoruyko & Komodakis 2016, "basic-wide")."""

    def __init__(self, width_in: int, width_out: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(width_in)
        self.conv1 = nn.Conv2d(width_in, width_out, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width_out)
        self.conv2 = nn.Conv2d(width_out, width_out, 3, padding=1, bias=False)
        same = stride == 1 and width_in == width_out
        self.shortcut = None if same else nn.Conv2d(width_in, width_out, 1, stride=stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        active = torch.relu(self.bn1(x))
        skip = x if self.shortcut is None else self.shortcut(active)
        return self.conv2(torch.relu(self.bn2(self.conv1(active)))) + skip


class ResNet(nn.Module):
    """A stem, stages of blocks (stride 2 from the second stage on), global average pooling, one linear layer.

    Input (batch, channels, height, width), output (batch, classes) logits.
    """

    def __init__(self, stem: nn.Module, stages: list[nn.Module], tail: nn.Module, width: int, classes: int) -> None:
        super().__init__()
        self.stem = stem
        self.stages = nn.Sequential(*stages)
        self.tail = tail
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.tail(self.stages(self.stem(x))).mean(dim=(2, 3)))


def basic_resnet(blocks: tuple[int, ...], widths: tuple[int, ...], channels: int, classes: int, option: str) -> ResNet:
    """A ResNet of basic blocks: `blocks[i]` blocks of width `widths[i]` in stage i."""
    stem = nn.Sequential(nn.Conv2d(channels, widths[0], 3, padding=1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU())
    stages: list[nn.Module] = []
    width_in = widths[0]
    for stage, (count, width) in enumerate(zip(blocks, widths, strict=True)):
        for block in range(count):
            stages.append(BasicBlock(width_in, width, 2 if stage and not block else 1, option))
            width_in = width
    return ResNet(stem, stages, nn.Identity(), width_in, classes)


def cifar_resnet(depth: int, channels: int, classes: int, option: str = "B") -> ResNet:
    """ResNet-20/32/44/56/110: three stages of (depth - 2) / 6 blocks, 16, 32 and 64 wide."""
    if depth % 6 != 2:
        raise ValueError(f"depth is {depth}; a CIFAR ResNet has depth 6n + 2: 20, 32, 44, 56, 110")
    if option not in ("A", "B"):
        raise ValueError(
            f"option is {option!r}; give 'A' (shortcuts without parameters) or 'B' (convolution + batch norm)"
        )
    return basic_resnet(((depth - 2) // 6,) * 3, (16, 32, 64), channels, classes, option)


def resnet18(channels: int, classes: int) -> ResNet:
    """ResNet-18 with a 3x3 stem and no pooling in front, as used for 32x32 and 64x64 images."""
    return basic_resnet((2, 2, 2, 2), (64, 128, 256, 512), channels, classes, "B")


def wide_resnet(depth: int, widen: int, channels: int, classes: int) -> ResNet:
    """Wide-ResNet-depth-widen without dropout: three stages of (depth - 4) / 6 blocks."""
    if depth % 6 != 4 or widen < 1:
        raise ValueError(
            f"depth is {depth} and widen {widen}; a Wide-ResNet has depth 6n + 4 (16, 22, 28) and widen >= 1"
        )
    stages: list[nn.Module] = []
    width_in = 16
    for stage, width in enumerate((16 * widen, 32 * widen, 64 * widen)):
        for block in range((depth - 4) // 6):
            stages.append(WideBlock(width_in, width, 2 if stage and not block else 1))
            width_in = width
    stem = nn.Conv2d(channels, 16, 3, padding=1, bias=False)
    return ResNet(stem, stages, nn.Sequential(nn.BatchNorm2d(width_in), nn.ReLU()), width_in, classes)
