r"""The regularising effect of early stopping does not survive a slow ramp (catalogue T7.8).

Statement: w* = \beta + noise of variance v_i in the eigen-directions, H_mc = 0 (every mask: H diagonal), start 0. After
    free training for t_1 and any ramp for T a kept weight has the risk of plain early stopping at \tau = t_1 + T,
    b e^{-2h\tau} + v(1-e^{-h\tau})^2, which tends to LIMIT v with LIMIT = 1, the risk of no regularisation at all. The
    best stopping time ln(1+b/v)/h has the risk bv/(b+v), strictly less.
Assumptions: H_mc = 0; v > 0.
Source: not found in the literature.
Bound: identity.
Proof: T7.4 gives the weight; its mean square error is the stated one; complete the square in e^{-h\tau}.
Evidence: SymPy for all h, b, v, \tau; the linear map from w* to the end point in balls on exact instances.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sympy
from flint import arb, fmpq, fmpq_mat

from unilth.theory.evidence import Drop, Evidence, Level, Statement, Theorem
from unilth.theory.exact import Number, Rows, column, matrix, rational
from unilth.theory.flows import end_point
from unilth.theory.verdicts import Verdict, judged, shown, witnessed


@dataclass(frozen=True, eq=False)
class Noisy:
    """H, the kept weight, signals beta, noise variances, and the staircase of (penalty, duration)."""

    name: str
    hessian: fmpq_mat
    signal: tuple[fmpq, ...]
    noise: tuple[fmpq, ...]
    pieces: tuple[tuple[fmpq, fmpq], ...]
    kept: int = 0

    def __str__(self) -> str:
        return f"{self.name}: H = {self.hessian.tolist()}, beta = {self.signal}, v = {self.noise}, ramp {self.pieces}"


def noisy(name: str, h: Rows, signal: Sequence[Number], noise: Sequence[Number], pieces: str) -> Noisy:
    steps = tuple((rational(p), rational(d)) for p, d in (word.split("x") for word in pieces.split()))
    return Noisy(name, matrix(h), tuple(map(rational, signal)), tuple(map(rational, noise)), steps)


PLAIN = noisy("two weights", [[1, 0], [0, 3]], [1, 2], ["1/2", 1], "0x1 1x1 7x1")
INSTANCES = (
    PLAIN,
    noisy("a steep weight", [[5, 0], [0, 1]], [2, 1], [3, 1], "0x1/10 4x1/10"),
    noisy("coupled", [[1, "1/2"], ["1/2", 1]], [1, 2], ["1/2", 1], "0x1 1x1 7x1"),
    noisy("no noise", [[1, 0], [0, 3]], [1, 2], [0, 0], "0x1 1x1 7x1"),
)
HYPOTHESES = {
    "uncoupled": lambda n: all(n.hessian[n.kept, j] == 0 for j in range(n.hessian.nrows()) if j != n.kept),
    "noisy": lambda n: n.noise[n.kept] > 0,
}


def on_instance(n: Noisy, statement: Statement) -> Verdict:
    """Risk of the kept weight from the linear map w* -> end point, against the claim."""
    size, k = n.hessian.nrows(), n.kept
    zero = column([0] * size)
    gains = [
        end_point(n.hessian, column([int(i == j) for i in range(size)]), (k,), zero, n.pieces)[k, 0]
        for j in range(size)
    ]
    bias = sum((gain * beta for gain, beta in zip(gains, n.signal, strict=True)), arb(0)) - n.signal[k]
    risk = bias**2 + sum((gain**2 * v for gain, v in zip(gains, n.noise, strict=True)), arb(0))
    time = sum((duration for _, duration in n.pieces), fmpq(0))
    h, b, v = n.hessian[k, k], n.signal[k] ** 2, n.noise[k]
    left = (-arb(h * time)).exp()
    off = abs(risk - (b * left**2 + v * (1 - left) ** 2))
    if off > 0:
        return False, f"risk {risk.str(8)} is not that of early stopping at {time}"
    best = b * v / (b + v)
    if not best < v:
        return False, f"stopping at the best time has the risk {best}, not less than {v}"
    return (True, "") if off < arb("1e-10") else (None, f"off by {off}")


def check(statement: Statement) -> Sequence[Evidence]:
    h, b, v, t = sympy.symbols("h b v tau", positive=True)
    w, beta, noise = sympy.symbols("w beta noise", real=True)
    y = sympy.exp(-h * t)
    # E over the noise of ((1-y)(beta + noise) - beta)^2 with E noise = 0, E noise^2 = v, beta^2 = b
    square = sympy.expand(((1 - w) * (beta + noise) - beta) ** 2)
    mean = square.subs(noise**2, v).subs(noise, 0).subs(beta**2, b)
    form = sympy.expand(mean - (b * w**2 + v * (1 - w) ** 2)) == 0
    risk = b * y**2 + v * (1 - y) ** 2
    completed = sympy.simplify(risk - b * v / (b + v) - (b + v) * (y - v / (b + v)) ** 2) == 0
    best = sympy.simplify(risk.subs(t, sympy.log(1 + b / v) / h) - b * v / (b + v)) == 0
    limit = sympy.limit(risk, t, sympy.oo) / v
    claimed = sympy.Rational(statement.exact("LIMIT"))
    return [
        shown("mean square error of (1-y)w*", form, "all beta, v, y (SymPy)"),
        shown("risk = bv/(b+v) + (b+v)(y - v/(b+v))^2", completed, "all h, b, v, tau (SymPy)"),
        shown("the best time is ln(1+b/v)/h", best, "all h, b, v (SymPy)"),
        shown("limit of the risk over v", limit == claimed, "all h, b, v (SymPy)", f"it is {limit}, claimed {claimed}"),
        judged("risk after a ramp", statement, INSTANCES, HYPOTHESES, on_instance, level=Level.CERTIFIED),
    ]


THEOREM = Theorem(
    id="erased-regularisation",
    catalogue="T7.8",
    title="The regularising effect of early stopping does not survive a slow ramp",
    statement=r"\mathrm{risk}_i(t_1,T)=b_ie^{-2h_i(t_1+T)}+v_i(1-e^{-h_i(t_1+T)})^2\to v_i>\tfrac{b_iv_i}{b_i+v_i}",
    source="not found in the literature",
    bound="identity",
    proof="By T7.4 the kept weight is (1 - e^{-h(t_1+T)})w*_i for every ramp. Take the mean square error and "
    "complete the square; as T grows it tends to v_i, while stopping at ln(1+b/v)/h has the risk bv/(b+v) < "
    "v.",
    check=check,
    near_miss=Drop("uncoupled"),
    witness=lambda: witnessed(PLAIN, HYPOTHESES),
    assumptions={"uncoupled": "H_mc = 0 (for every mask: H diagonal)", "noisy": "v_i > 0"},
    constants={"LIMIT": "1"},
    depends_on=("uncoupled-identity",),
)
