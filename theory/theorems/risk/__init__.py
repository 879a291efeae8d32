"""Section 3 of the catalogue: relative risk of early stopping and ridge (Ali, Kolter and Tibshirani, sharp)."""

from unilth.theory.evidence import Theorem
from unilth.theory.theorems.risk.best_calibration import THEOREM as BEST_CALIBRATION
from unilth.theory.theorems.risk.fixed_signal import THEOREM as FIXED_SIGNAL
from unilth.theory.theorems.risk.isotropic_prior import THEOREM as ISOTROPIC_PRIOR
from unilth.theory.theorems.risk.out_of_sample import THEOREM as OUT_OF_SAMPLE
from unilth.theory.theorems.risk.relative_risk import THEOREM as RELATIVE_RISK
from unilth.theory.theorems.risk.tuned_against_tuned import THEOREM as TUNED_AGAINST_TUNED

THEOREMS: tuple[Theorem, ...] = (
    RELATIVE_RISK,
    OUT_OF_SAMPLE,
    FIXED_SIGNAL,
    ISOTROPIC_PRIOR,
    BEST_CALIBRATION,
    TUNED_AGAINST_TUNED,
)
