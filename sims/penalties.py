"""What presses on weights: the growing penalty of information extrusion, plain L2 and L1.

A penalty of value lambda adds lambda x w to a weight's gradient, that is (lambda / 2) w^2 to the loss.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from unilth.errors import UserError


def _positive(owner: str, name: str, value: float) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or value <= 0:
        raise UserError(f"{owner}: {name} must be a positive number, not {value!r}")


def _whole(owner: str, name: str, value: int, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise UserError(f"{owner}: {name} must be a whole number of at least {least}, not {value!r}")


@dataclass(frozen=True)
class GrowingPenalty:
    """A penalty on the weights that go, growing from 0 to ``ceiling`` and then held there.

    The linear value u grows by ``step / ceiling`` every ``every`` optimizer steps until it is 1; the penalty is
    ``ceiling x u^power`` (power 1, 2, 3: the schedules x, x^2, x^3 of Bai et al. 2022) and never exceeds the ceiling.
    ``hold`` is the number of optimizer steps spent at the ceiling before the hard prune. The defaults are the constants
    that RST's public code runs (1e-4 every 5 steps to 1, then 40,000 steps).
    """

    step: float = 1e-4
    every: int = 5
    ceiling: float = 1.0
    power: float = 1
    hold: int = 40_000

    def __post_init__(self) -> None:
        for name in ("step", "ceiling", "power"):
            _positive("GrowingPenalty", name, getattr(self, name))
        _whole("GrowingPenalty", "every", self.every, 1)
        _whole("GrowingPenalty", "hold", self.hold, 0)

    @property
    def increments(self) -> int:
        """How many increments reach the ceiling; a ratio that is whole up to rounding counts as whole."""
        ratio = self.ceiling / self.step
        return max(1, math.ceil(ratio - 1e-9 * ratio))

    @property
    def growth(self) -> int:
        """The first optimizer step at which the ceiling is reached."""
        return self.increments * self.every

    def value(self, step: int) -> float:
        """The penalty at optimizer step ``step`` (0 is the first), in [0, ceiling], never decreasing."""
        if step < 0:
            raise UserError(f"GrowingPenalty: the optimizer step must not be negative, not {step!r}")
        done = step // self.every
        if done >= self.increments:
            return float(self.ceiling)
        linear = min(done * (self.step / self.ceiling), 1.0)
        return min(self.ceiling * linear**self.power, float(self.ceiling))

    def scaled(self, steps: int) -> GrowingPenalty:
        """The same shape in ``steps`` optimizer steps: growth and hold keep their proportion, an increment per step."""
        _whole("GrowingPenalty.scaled", "steps", steps, 1)
        growth = max(1, round(steps * self.growth / (self.growth + self.hold)))
        return GrowingPenalty(self.ceiling / growth, 1, self.ceiling, self.power, steps - growth)


@dataclass(frozen=True)
class L2:
    """Plain L2 regularisation (weight decay) of all weights and biases, from the first step to the last."""

    strength: float = 5e-4

    def __post_init__(self) -> None:
        _positive("L2", "strength", self.strength)

    def value(self, step: int) -> float:
        """The penalty at optimizer step ``step``: constant."""
        return float(self.strength)


@dataclass(frozen=True)
class L1:
    """L1 regularisation of the prunable weights: strength x sign(w) is added to the gradient (0 at 0), always."""

    strength: float = 1e-4

    def __post_init__(self) -> None:
        _positive("L1", "strength", self.strength)
