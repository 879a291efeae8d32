"""Section 5 of the catalogue: is it true that early stopping stops at a better point than regularisation?"""

from unilth.theory.evidence import Theorem
from unilth.theory.theorems.comparison import (
    crossing,
    localisation,
    patience,
    power_law,
    rates,
    saturation,
    trichotomy,
    two_eigenvalues,
    unbounded_separation,
    wiener_identity,
)

THEOREMS: tuple[Theorem, ...] = (
    wiener_identity.THEOREM,
    crossing.THEOREM,
    two_eigenvalues.THEOREM,
    trichotomy.THEOREM,
    unbounded_separation.THEOREM,
    power_law.THEOREM,
    saturation.THEOREM,
    rates.THEOREM,
    localisation.THEOREM,
    patience.THEOREM,
)
