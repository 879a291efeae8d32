"""When free training ends: after some epochs, when the validation loss stops improving, or when the mask settles."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor, nn

from unilth.errors import UserError
from unilth.sims.masks import keep_largest, prunable


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


@dataclass(frozen=True)
class SettledMask:
    """Free training until the magnitude mask has settled (You et al. 2020, Early-Bird tickets).

    After every epoch the mask of the largest magnitudes over all layers is drawn at ``sparsity``, which the search puts
    in. Training stops where it differs from each of the other ``last - 1`` of the last ``last`` masks in at most the
    share ``tolerance`` of the weights, as in the published code, and nothing is restored. Two masks of one sparsity s
    differ in 2 (1 - s) of the weights at most, so from 1 - ``tolerance`` / 2 on the first ``last`` epochs are always
    enough. The paper draws channels by batch-norm scales; here they are weights by magnitude.
    """

    last: int = 5
    tolerance: float = 0.1
    max_epochs: int | None = None
    sparsity: float = 0.0

    def __post_init__(self) -> None:
        if self.last < 2:
            raise UserError(f"SettledMask: last must be at least 2 masks, not {self.last}")
        if not 0 < self.tolerance <= 1:
            raise UserError(f"SettledMask: tolerance must be in (0, 1], not {self.tolerance}")
        if self.max_epochs is not None and self.max_epochs < 1:
            raise UserError(f"SettledMask: max_epochs must be at least 1, not {self.max_epochs}")

    @property
    def most(self) -> int | None:
        """The most epochs that may pass."""
        return self.max_epochs


class MaskWatch:
    """Follows one phase under `SettledMask`; it restores nothing, and no epoch is its best."""

    best_epoch: int | None = None

    def __init__(self, rule: SettledMask) -> None:
        self.rule = rule
        self.masks: list[dict[str, Tensor]] = []
        self.fired = False

    def update(self, loss: float, network: nn.Module) -> bool:
        """Report the end of an epoch; True exactly once, when the mask has settled. The loss is not looked at."""
        magnitudes = {name: weight.detach().abs() for name, weight in prunable(network).items()}
        mask = keep_largest(magnitudes, self.rule.sparsity)
        size = sum(kept.numel() for kept in mask.values())
        differ = [  # those of a checkpoint come back on the CPU
            sum(int((mask[name] ^ kept.to(mask[name].device)).sum()) for name, kept in each.items())
            for each in self.masks
        ]
        self.masks = [*self.masks, mask][-(self.rule.last - 1) :]
        full = len(differ) == self.rule.last - 1
        if not self.fired and full and max(differ) / size <= self.rule.tolerance:
            self.fired = True
            return True
        return False

    def restore(self, network: nn.Module) -> None:
        """The network stays as the last epoch left it."""


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
