"""Section 3 of the catalogue: relative risk of early stopping and ridge (Ali, Kolter and Tibshirani, sharp)."""

from unilth.theory.evidence import Theorem
from unilth.theory.theorems.risk.relative_risk import THEOREM as RELATIVE_RISK

THEOREMS: tuple[Theorem, ...] = (RELATIVE_RISK,)
