"""Section 2 of the catalogue: exact equivalences between early stopping and generalised ridge."""

from unilth.theory.evidence import Theorem
from unilth.theory.theorems.equivalence import generalised_ridge, never_stop, random_time, tikhonov_homotopy

THEOREMS: tuple[Theorem, ...] = (
    generalised_ridge.THEOREM,
    random_time.THEOREM,
    tikhonov_homotopy.THEOREM,
    never_stop.THEOREM,
)
