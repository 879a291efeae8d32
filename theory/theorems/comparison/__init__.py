"""Section 5 of the catalogue: is it true that early stopping stops at a better point than regularisation?"""

from unilth.theory.evidence import Theorem

THEOREMS: tuple[Theorem, ...] = ()
