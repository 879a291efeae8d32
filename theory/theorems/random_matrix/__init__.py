"""Section 10 of the catalogue: random matrices and linearised networks."""

from unilth.theory.evidence import Theorem

THEOREMS: tuple[Theorem, ...] = ()
