"""Our own rules and schedules, declared: what `unilth reproduce` checks and what a newcomer may read as examples."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from unilth.sims import masks
from unilth.sims.invariants.declarations import mask_rule, penalty_schedule
from unilth.sims.penalties import GrowingPenalty

Scores = dict[str, Tensor]
RST = GrowingPenalty()
"""The published constants: 1e-4 every 5 steps, ceiling 1."""


@mask_rule(scope="global", keeps="largest")
def global_magnitude(scores: Scores, sparsity: float, *, within: Any = None, generator: Any = None) -> Scores:
    """The largest over all layers (LTH)."""
    return masks.global_magnitude(scores, sparsity, within=within, generator=generator)


@mask_rule(scope="layer", keeps="largest")
def layer_magnitude(scores: Scores, sparsity: float, *, within: Any = None, generator: Any = None) -> Scores:
    """The largest of each layer."""
    return masks.layer_magnitude(scores, sparsity, within=within, generator=generator)


@mask_rule(scope="global", keeps="random")
def global_random(scores: Scores, sparsity: float, *, within: Any = None, generator: Any = None) -> Scores:
    """At random over all layers."""
    return masks.global_random(scores, sparsity, within=within, generator=generator)


@mask_rule(scope="layer", keeps="random")
def layer_random(scores: Scores, sparsity: float, *, within: Any = None, generator: Any = None) -> Scores:
    """At random in each layer (RST, the algorithm of DLTH)."""
    return masks.layer_random(scores, sparsity, within=within, generator=generator)


@penalty_schedule(ceiling=1.0, steps=50_000)
def rst_schedule(step: int) -> float:
    """RST as its public code runs it."""
    return RST.value(step)


@penalty_schedule(ceiling=0.5, steps=300)
def quadratic_schedule(step: int) -> float:
    """The non-linear increase of UniLTH, power 2."""
    return GrowingPenalty(step=0.005, every=3, ceiling=0.5, power=2).value(step)


@penalty_schedule(ceiling=1.0, steps=100)
def cubic_schedule(step: int) -> float:
    """Power 3."""
    return GrowingPenalty(step=0.01, every=1, ceiling=1.0, power=3).value(step)


CHEAP = (
    global_magnitude,
    layer_magnitude,
    global_random,
    layer_random,
    rst_schedule,
    quadratic_schedule,
    cubic_schedule,
)
