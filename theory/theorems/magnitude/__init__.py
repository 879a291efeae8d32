"""Section 8 of the catalogue: magnitude pruning."""

from unilth.theory.evidence import Theorem
from unilth.theory.theorems.magnitude import integer_rule, least_change, optimality, random_mask, symmetries

THEOREMS: tuple[Theorem, ...] = (
    least_change.THEOREM,
    optimality.THEOREM,
    integer_rule.THEOREM,
    symmetries.THEOREM,
    random_mask.THEOREM,
)
