"""Section 10 of the catalogue: random matrices and linearised networks."""

from unilth.theory.evidence import Theorem
from unilth.theory.theorems.random_matrix import linearised_networks, marchenko_pastur

THEOREMS: tuple[Theorem, ...] = (marchenko_pastur.THEOREM, linearised_networks.THEOREM)
