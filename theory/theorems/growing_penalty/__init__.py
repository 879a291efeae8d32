"""Section 6 of the catalogue: a growing penalty on a mask, the Schur complement, information extrusion."""

from unilth.theory.evidence import Theorem
from unilth.theory.theorems.growing_penalty import extrusion_identity, schur_ridge

THEOREMS: tuple[Theorem, ...] = (schur_ridge.THEOREM, extrusion_identity.THEOREM)
