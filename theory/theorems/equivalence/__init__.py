"""Section 2 of the catalogue: exact equivalences between early stopping and generalised ridge."""

from unilth.theory.evidence import Theorem
from unilth.theory.theorems.equivalence import generalised_ridge

THEOREMS: tuple[Theorem, ...] = (generalised_ridge.THEOREM,)
