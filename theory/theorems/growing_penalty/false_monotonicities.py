r"""Two monotonicities that one expects of a growing penalty, and that fail (catalogue T6.3).

Statement: (i) a single |w_i(\lambda)| need not decrease: S = [[2,1],[1,1]], w*_c = (1,0) gives
    w_2 = \lambda/(\lambda^2+3\lambda+1), which rises from 0 to its maximum PEAK at \lambda = PEAK_AT and then falls.
    (ii) the excess of pruning at \lambda need not decrease and can be exactly 0 at a finite \lambda:
    H = [[1,1,-1],[1,2,-1],[-1,-1,5]], m = {1}, w* = (0,2,1) gives 1/2 (2/(1+\lambda) - 4/(4+\lambda))^2, which is 0 at
    ZERO_AT and positive before and after.
Assumptions: none, both are examples.
Source: not found in the literature.
Bound: counterexample.
Proof: PEAK - w_2 = (\lambda-1)^2 / (5(\lambda^2+3\lambda+1)); evaluate T6.2's excess.
Evidence: exact rationals, and SymPy for all \lambda.
"""

from __future__ import annotations

from collections.abc import Sequence

import sympy

from unilth.theory.blocks import TRIPLE, problem
from unilth.theory.evidence import Evidence, Move, Statement, Theorem, Witness
from unilth.theory.exact import matrix, positive_definite, rational
from unilth.theory.verdicts import shown

# S itself is the Hessian when nothing is kept.
ALL_PRUNED = problem("everything pruned", [[2, 1], [1, 1]], [1, 0], ())
LAM = sympy.Symbol("lambda", nonnegative=True)


def second_weight(penalty: sympy.Expr) -> sympy.Expr:
    """w_2(lambda) of example (i), solved symbolically."""
    s, w = sympy.Matrix([[2, 1], [1, 1]]), sympy.Matrix([1, 0])
    return sympy.cancel(((s + penalty * sympy.eye(2)).inv() * s * w)[1])


def excess(penalty: sympy.Expr) -> sympy.Expr:
    """Prune excess of example (ii), solved symbolically from the losses."""
    h = sympy.Matrix([[1, 1, -1], [1, 2, -1], [-1, -1, 5]])
    target = sympy.Matrix([0, 2, 1])
    w = (h + penalty * sympy.diag(0, 1, 1)).LUsolve(h * target)
    limit = sympy.Matrix([(h * target)[0] / h[0, 0], 0, 0])

    def loss(point: sympy.Matrix) -> sympy.Expr:
        return ((point - target).T * h * (point - target))[0] / 2

    return sympy.cancel(loss(sympy.Matrix([w[0], 0, 0])) - loss(limit))


def check(statement: Statement) -> Sequence[Evidence]:
    peak, at, zero = (sympy.Rational(statement.exact(name)) for name in ("PEAK", "PEAK_AT", "ZERO_AT"))
    w2, e = second_weight(LAM), excess(LAM)
    form = sympy.cancel(w2 - LAM / (LAM**2 + 3 * LAM + 1)) == 0
    gap = sympy.numer(sympy.cancel(peak - w2))
    # the maximum is attained at PEAK_AT and nowhere passed: a non-negative multiple of (lambda - PEAK_AT)^2
    top = sympy.cancel(gap / (LAM - at) ** 2)
    excess_form = sympy.cancel(e - (2 / (1 + LAM) - 4 / (4 + LAM)) ** 2 / 2) == 0
    at_zero = e.subs(LAM, zero)
    later, before = e.subs(LAM, zero + 8), e.subs(LAM, zero / 2)
    lam = rational(statement.exact("ZERO_AT"))
    exact = TRIPLE.loss(TRIPLE.hard_pruned(TRIPLE.weights(lam))) - TRIPLE.loss(TRIPLE.joined(TRIPLE.target * 0))
    return [
        shown("w_2 = lambda/(lambda^2+3lambda+1)", form, "all lambda >= 0 (SymPy)"),
        shown(
            "its maximum", top.is_number and top > 0, "all lambda >= 0 (SymPy)", f"PEAK - w_2 has the numerator {gap}"
        ),
        shown("excess = (2/(1+lambda) - 4/(4+lambda))^2 / 2", excess_form, "all lambda >= 0 (SymPy)"),
        shown(
            "excess is 0 at ZERO_AT, positive on both sides",
            at_zero == 0 and exact == 0 and later > 0 and before > 0,
            "exact rationals, through the losses",
            f"excess {at_zero} at {zero}, {before} before and {later} after",
        ),
    ]


def witness() -> Witness:
    sound = positive_definite(TRIPLE.hessian) and positive_definite(matrix([[2, 1], [1, 1]]))
    return Witness(f"{ALL_PRUNED}; {TRIPLE}; both H positive definite: {sound}", {})


THEOREM = Theorem(
    id="false-monotonicities",
    catalogue="T6.3",
    title="A growing penalty need not shrink every weight, and pruning later can cost more",
    statement=r"\exists\,\lambda_1<\lambda_2:\ |w_i(\lambda_2)|>|w_i(\lambda_1)|;\quad "
    r"\exists\,\lambda_1<\lambda_2:\ \mathrm{excess}(\lambda_1)=0<\mathrm{excess}(\lambda_2)",
    source="not found in the literature",
    bound="counterexample",
    proof="(i) 1/5 - lambda/(lambda^2+3 lambda+1) = (lambda-1)^2/(5(lambda^2+3 lambda+1)), and w_2(0) = 0. (ii) S "
    "= diag(1, 4), so w_c = (2/(1+lambda), 4/(4+lambda)), and the excess is half the square of their "
    "difference.",
    check=check,
    near_miss=Move("ZERO_AT", "1e-6"),
    witness=witness,
    constants={"PEAK": "1/5", "PEAK_AT": "1", "ZERO_AT": "2"},
    depends_on=("growing-penalty-is-schur-ridge", "information-extrusion-identity"),
)
