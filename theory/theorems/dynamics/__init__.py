"""Section 4 of the catalogue: discrete, stochastic, accelerated and non-quadratic dynamics."""

from unilth.theory.evidence import Theorem
from unilth.theory.theorems.dynamics import descent_risk, heavy_ball, nesterov, stochastic_descent, strongly_convex

THEOREMS: tuple[Theorem, ...] = (
    descent_risk.THEOREM,
    stochastic_descent.THEOREM,
    nesterov.THEOREM,
    heavy_ball.THEOREM,
    strongly_convex.THEOREM,
)
