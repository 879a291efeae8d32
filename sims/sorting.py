"""Sorting: a small penalty on every prunable weight, grown before the mask is drawn, so that curvature has its say.

Under a penalty of value a on all weights of a quadratic with curvature h the minimiser shrinks by h / (h + a) along
each eigen-direction: weights that the loss holds fast stay, the others come down, and magnitude then tells both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from unilth.errors import UserError
from unilth.sims.penalties import GrowingPenalty

UNIFORM = GrowingPenalty(step=1e-5, every=10, ceiling=0.01, power=1, hold=0)


@dataclass(frozen=True)
class Sorting:
    """The picking of GReg-2 (Wang et al. 2021): ``penalty`` grows on all prunable weights, then the mask is drawn.

    Afterwards ``recover`` x w is taken from the gradient of the weights that stay while the others are pressed, as a
    penalty below 0 that gives their size back. The defaults are the constants of the published code for CIFAR: 1e-5
    every 10 steps up to 0.01 on all weights, then -1e-4 on the kept. For single weights that code ends the sorting at
    the ceiling and asks for no ratio of magnitudes, and so do we. There the picked weights go on from 0.01; here their
    penalty starts from 0, a hundredth of its way earlier.
    """

    penalty: GrowingPenalty = UNIFORM
    recover: float = 1e-4

    def __post_init__(self) -> None:
        if not (math.isfinite(self.recover) and self.recover >= 0):
            raise UserError(f"Sorting: recover must be a finite number of at least 0, not {self.recover!r}")

    def share(self, epochs: int, pressing: GrowingPenalty) -> int:
        """How many of ``epochs`` sort: as many in proportion as in the published steps, at least 1 of 2 or more."""
        steps = self.penalty.growth + self.penalty.hold
        part = round(epochs * steps / (steps + pressing.growth + pressing.hold))
        return min(max(part, 1), epochs - 1) if epochs > 1 else 0
