"""Section 1 of the catalogue: gradient descent on a quadratic, its effective ridge and the uniform gap."""

from unilth.theory.evidence import Theorem

THEOREMS: tuple[Theorem, ...] = ()
