"""Section 9 of the catalogue: diagonal linear networks."""

from unilth.theory.evidence import Theorem
from unilth.theory.theorems.diagonal_network import factored_penalty, mirror_flow, riccati, thresholds

THEOREMS: tuple[Theorem, ...] = (riccati.THEOREM, thresholds.THEOREM, mirror_flow.THEOREM, factored_penalty.THEOREM)
