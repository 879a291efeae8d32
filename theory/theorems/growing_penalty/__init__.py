"""Section 6 of the catalogue: a growing penalty on a mask, the Schur complement, information extrusion."""

from unilth.theory.evidence import Theorem

THEOREMS: tuple[Theorem, ...] = ()
