"""When free training ends: after a number of epochs, or when the validation loss stops improving."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor, nn

from unilth.errors import UserError


@dataclass(frozen=True)
class Epochs:
    """Free training for ``number`` epochs; ``None`` takes what the budget gives this phase."""

    number: int | None = None

    def __post_init__(self) -> None:
        if self.number is not None and self.number < 0:
            raise UserError(f"Epochs: number must not be negative, not {self.number}")

    @property
    def most(self) -> int | None:
        """The most epochs that may pass."""
        return self.number


@dataclass(frozen=True)
class EarlyStopping:
    """Free training until the validation loss has not decreased for ``patience`` epochs, ``max_epochs`` at most.

    The weights and buffers of the best epoch are restored. ``max_epochs=None`` takes what the budget gives.
    """

    patience: int = 5
    max_epochs: int | None = None

    def __post_init__(self) -> None:
        if self.patience < 1:
            raise UserError(f"EarlyStopping: patience must be at least 1 epoch, not {self.patience}")
        if self.max_epochs is not None and self.max_epochs < 1:
            raise UserError(f"EarlyStopping: max_epochs must be at least 1, not {self.max_epochs}")

    @property
    def most(self) -> int | None:
        """The most epochs that may pass."""
        return self.max_epochs


class Watch:
    """Follows one phase under `EarlyStopping`: which epoch was best, what the network was then, and when to stop."""

    def __init__(self, rule: EarlyStopping) -> None:
        self.rule = rule
        self.best = math.inf
        self.best_epoch: int | None = None
        self.epochs = 0
        self.fired = False
        self._state: dict[str, Tensor] | None = None

    def update(self, loss: float, network: nn.Module) -> bool:
        """Report an epoch's validation loss; True exactly once, when patience has run out. NaN is no improvement."""
        self.epochs += 1
        if loss < self.best:  # False for NaN
            self.best, self.best_epoch = loss, self.epochs
            self._state = {name: value.clone() for name, value in network.state_dict().items()}
        if not self.fired and self.epochs - (self.best_epoch or 0) >= self.rule.patience:
            self.fired = True
            return True
        return False

    def restore(self, network: nn.Module) -> None:
        """Put the best epoch's weights and buffers back; a network that never had a finite loss is left as it is."""
        if self._state is not None:
            network.load_state_dict(self._state)
