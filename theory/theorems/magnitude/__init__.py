"""Section 8 of the catalogue: magnitude pruning."""

from unilth.theory.evidence import Theorem

THEOREMS: tuple[Theorem, ...] = ()
