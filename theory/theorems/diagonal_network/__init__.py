"""Section 9 of the catalogue: diagonal linear networks."""

from unilth.theory.evidence import Theorem

THEOREMS: tuple[Theorem, ...] = ()
