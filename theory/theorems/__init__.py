"""Every theorem, in the catalogue's order: one module per theorem, one folder per section, one explicit tuple."""

from unilth.theory.theorems.comparison import THEOREMS as COMPARISON
from unilth.theory.theorems.diagonal_network import THEOREMS as DIAGONAL_NETWORK
from unilth.theory.theorems.dynamics import THEOREMS as DYNAMICS
from unilth.theory.theorems.equivalence import THEOREMS as EQUIVALENCE
from unilth.theory.theorems.growing_penalty import THEOREMS as GROWING_PENALTY
from unilth.theory.theorems.magnitude import THEOREMS as MAGNITUDE
from unilth.theory.theorems.quadratic import THEOREMS as QUADRATIC
from unilth.theory.theorems.random_matrix import THEOREMS as RANDOM_MATRIX
from unilth.theory.theorems.risk import THEOREMS as RISK
from unilth.theory.theorems.trajectory import THEOREMS as TRAJECTORY

THEOREMS = (
    *QUADRATIC,
    *EQUIVALENCE,
    *RISK,
    *DYNAMICS,
    *COMPARISON,
    *GROWING_PENALTY,
    *TRAJECTORY,
    *MAGNITUDE,
    *DIAGONAL_NETWORK,
    *RANDOM_MATRIX,
)
