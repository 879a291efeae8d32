"""Section 5 of the catalogue: is it true that early stopping stops at a better point than regularisation?"""

from unilth.theory.evidence import Theorem
from unilth.theory.theorems.comparison import crossing, two_eigenvalues

THEOREMS: tuple[Theorem, ...] = (crossing.THEOREM, two_eigenvalues.THEOREM)
