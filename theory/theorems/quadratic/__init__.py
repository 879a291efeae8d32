"""Section 1 of the catalogue: gradient descent on a quadratic, its effective ridge and the uniform gap."""

from unilth.theory.evidence import Theorem
from unilth.theory.theorems.quadratic import (
    any_start,
    closed_form,
    effective_ridge,
    euler_ladder,
    scalar_recalibration,
    stability,
    uniform_gap,
)

THEOREMS: tuple[Theorem, ...] = (
    closed_form.THEOREM,
    stability.THEOREM,
    effective_ridge.THEOREM,
    uniform_gap.THEOREM,
    euler_ladder.THEOREM,
    scalar_recalibration.THEOREM,
    any_start.THEOREM,
)
