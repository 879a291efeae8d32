"""Section 7 of the catalogue: UniLTH trajectories on quadratics."""

from unilth.theory.evidence import Theorem
from unilth.theory.theorems.trajectory import adiabatic_tracking, exact_endpoint, mask_guarantee

THEOREMS: tuple[Theorem, ...] = (
    exact_endpoint.THEOREM,
    adiabatic_tracking.THEOREM,
    mask_guarantee.THEOREM,
)
