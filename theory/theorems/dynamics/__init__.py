"""Section 4 of the catalogue: discrete, stochastic, accelerated and non-quadratic dynamics."""

from unilth.theory.evidence import Theorem

THEOREMS: tuple[Theorem, ...] = ()
