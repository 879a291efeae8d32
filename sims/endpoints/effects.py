"""What a verdict is: a prediction, the rule that judges it, and effects with intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from unilth.sims.statistics import describe

CONFIRMED, PART, CONTRADICTED, UNDECIDED = "confirmed", "confirmed in part", "contradicted", "undecided"


@dataclass(frozen=True)
class Effect:
    """A mean over n seeds or splits with its 95% interval; ends are None where there is none."""

    what: str
    mean: float
    low: float | None
    high: float | None
    n: int

    @property
    def sign(self) -> int:
        """-1 or 1 where the whole interval is on one side of 0, otherwise 0."""
        if self.low is None or self.high is None:
            return 0
        return (self.low > 0) - (self.high < 0)

    def __str__(self) -> str:
        interval = "" if self.low is None else f" [{self.low:.3g}, {self.high:.3g}]"
        return f"{self.what}: {self.mean:.3g}{interval}, n = {self.n}"


@dataclass(frozen=True)
class Verdict:
    """One prediction on one record. `claims` are ids of `unilth.theory.claims`, whose column "on networks" it fills."""

    id: str
    prediction: str
    rule: str
    verdict: str
    effects: tuple[Effect, ...]
    claims: tuple[str, ...] = ()


def effect(what: str, values: Sequence[float]) -> Effect:
    cell = describe(values)
    mean = math.nan if cell.mean is None else cell.mean
    if cell.half is None:
        return Effect(what, mean, None, None, cell.n)
    return Effect(what, mean, mean - cell.half, mean + cell.half, cell.n)
