"""Section 3 of the catalogue: relative risk of early stopping and ridge (Ali, Kolter and Tibshirani, sharp)."""

from unilth.theory.evidence import Theorem

THEOREMS: tuple[Theorem, ...] = ()
