"""Section 6 of the catalogue: a growing penalty on a mask, the Schur complement, information extrusion."""

from unilth.theory.evidence import Theorem
from unilth.theory.theorems.growing_penalty import (
    curvature_separation,
    extrusion_identity,
    false_monotonicities,
    quotient,
    recoverable_fraction,
    schur_ridge,
    stability_ceiling,
)

THEOREMS: tuple[Theorem, ...] = (
    schur_ridge.THEOREM,
    extrusion_identity.THEOREM,
    false_monotonicities.THEOREM,
    curvature_separation.THEOREM,
    stability_ceiling.THEOREM,
    quotient.THEOREM,
    recoverable_fraction.THEOREM,
)
