"""Section 2 of the catalogue: exact equivalences between early stopping and generalised ridge."""

from unilth.theory.evidence import Theorem

THEOREMS: tuple[Theorem, ...] = ()
