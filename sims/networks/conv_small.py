"""A small convolutional network with batch norm, for tests and for small images: 16, 32 and 64 channels."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class ConvSmall(nn.Module):
    """Inputs (n, channels, height, width) of at least 4x4; logits (n, classes)."""

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(shape[0], 16, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(16)
        self.conv2 = nn.Conv2d(16, 32, 3, stride=2, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(32)
        self.conv3 = nn.Conv2d(32, 64, 3, stride=2, padding=1, bias=False)
        self.norm3 = nn.BatchNorm2d(64)
        self.fc = nn.Linear(64, classes)

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits of a batch."""
        hidden = F.relu(self.norm1(self.conv1(inputs)))
        hidden = F.relu(self.norm2(self.conv2(hidden)))
        hidden = F.relu(self.norm3(self.conv3(hidden)))
        return self.fc(hidden.mean((2, 3)))
