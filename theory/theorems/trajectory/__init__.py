"""Section 7 of the catalogue: UniLTH trajectories on quadratics."""

from unilth.theory.evidence import Theorem

THEOREMS: tuple[Theorem, ...] = ()
