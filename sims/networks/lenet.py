"""LeNet-300-100 (LeCun et al. 1998): two hidden layers of 300 and 100 units."""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional as F


class LeNet300100(nn.Module):
    """Inputs (n, ...) of any shape, flattened; logits (n, classes)."""

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(math.prod(shape), 300)
        self.fc2 = nn.Linear(300, 100)
        self.fc3 = nn.Linear(100, classes)

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits of a batch."""
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(inputs.flatten(1))))))
