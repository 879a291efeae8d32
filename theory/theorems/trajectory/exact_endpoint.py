r"""The exact end point under a staircase of penalties, and how fast two starts agree (catalogue T7.1).

Statement: on a piece of constant \lambda_j and length \Delta_j gradient flow maps w to
    e_j + exp(-(H + \lambda_j P) \Delta_j)(w - e_j) with (H + \lambda_j P) e_j = H w*. Two runs under one ramp differ
    at the end by \Phi times their first difference, ||\Phi|| <= e^{-\mu T}; the rate \mu cannot be improved.
Assumptions: x'Hx >= \mu ||x||^2 with \mu > 0 (H need not be symmetric); \lambda >= 0.
Source: folklore.
Bound: tight (a kept weight of curvature \mu).
Proof: differentiate; for a difference d, d/dt e^{2\mu t}||d||^2 = -2 e^{2\mu t} d'(H - \mu + \lambda P)d <= 0.
Evidence: symbolic for every size (free algebra); balls on exact instances.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flint import arb, fmpq, fmpq_mat

from unilth.theory.evidence import Drop, Evidence, Level, Statement, Theorem
from unilth.theory.exact import column, identity, matrix, positive_semidefinite, rational
from unilth.theory.flows import squared_norm, transition
from unilth.theory.verdicts import Verdict, judged, shown, witnessed
from unilth.theory.words import Algebra, letters


@dataclass(frozen=True, eq=False)
class Race:
    """Two runs under one staircase: H, the claimed least curvature mu, kept weights, pieces, first difference."""

    name: str
    hessian: fmpq_mat
    mu: fmpq
    kept: tuple[int, ...]
    pieces: tuple[tuple[fmpq, fmpq], ...]
    difference: fmpq_mat

    def __str__(self) -> str:
        return f"{self.name}: H = {self.hessian.tolist()}, mu = {self.mu}, (penalty, time) = {list(self.pieces)}"


def race(name: str, hessian: list[list[int]], mu: str, kept: tuple[int, ...], pieces: str, first: list[int]) -> Race:
    steps = tuple((rational(p), rational(d)) for p, d in (piece.split("x") for piece in pieces.split()))
    return Race(name, matrix(hessian), rational(mu), kept, steps, column(first))


SLOWEST = race("the flattest direction is kept", [[1, 0], [0, 4]], "1", (0,), "0x1 2x1 8x1", [1, 0])
COUPLED = race("coupled, on a staircase", [[2, 1], [1, 2]], "1", (0,), "0x1/2 1x1/2 5x1/2", [1, -1])
SPIRAL = race("positive but not symmetric", [[1, -3], [3, 1]], "1", (0,), "0x1 3x1", [1, 2])
INSTANCES = (
    COUPLED,
    SPIRAL,
    race("a negative penalty", [[1, 0], [0, 1]], "1", (0,), "-2x1", [0, 1]),
    race("a flatter direction than mu", [[1, 0], [0, 0]], "1", (1,), "1x1", [0, 1]),
)
HYPOTHESES = {
    "curvature": lambda r: r.mu > 0 and positive_semidefinite(r.hessian - identity(r.hessian.nrows()) * r.mu),
    "penalty-not-negative": lambda r: all(penalty >= 0 for penalty, _ in r.pieces),
}


def identities() -> list[Evidence]:
    """The closed form solves the flow, and the Gronwall identity, for matrices of every size."""
    one = letters("M")[0] * 0 + 1
    M, N, X, f, w, d, e, E, m = letters("M N X f w d e E m")
    flow = Algebra(rules={"M N": one, "N M": one}, derivatives={"X": -M * X})  # N = M^{-1}, X = exp(-Mt)
    path = N * f + X * (w - N * f)
    solves = flow.equal(flow.derivative(path), f - M * path)
    # d = difference, e = d', E = e^{2 mu t}; M + M' acts as 2M in the quadratic form of its symmetric part
    gap = Algebra(rules={}, central="E m", derivatives={"d": -M * d, "e": -e * M, "E": 2 * m * E})
    gronwall = gap.equal(gap.derivative(E * e * d), -2 * E * (e * M * d - m * e * d))
    return [
        shown("e + exp(-Mt)(w - e) solves dw/dt = Hw* - Mw", solves, "matrices of every size, free algebra"),
        shown("d/dt e^{2mu t}|d|^2 = -2e^{2mu t} d'(M - mu)d", gronwall, "matrices of every size, free algebra"),
    ]


def on_instance(r: Race, statement: Statement) -> Verdict:
    """Enclose |Phi d|^2 e^{2 rate mu T} / |d|^2 and compare it with 1."""
    exponent = rational(statement.exact("RATE")) * r.mu * sum((duration for _, duration in r.pieces), fmpq(0)) * 2
    after = squared_norm(transition(r.hessian, r.kept, r.pieces) * r.difference)
    ratio = after / squared_norm(r.difference) * arb(exponent).exp()
    if ratio > 1:
        return False, f"|Phi d|^2 is {ratio.str(10)} times e^(-{exponent}) |d|^2"
    return (True, "") if ratio < 1 else (None, f"ratio {ratio}")


def attained(statement: Statement) -> Evidence:
    """The rate at which the flattest kept direction contracts: no larger rate holds."""
    time = sum((duration for _, duration in SLOWEST.pieces), fmpq(0))
    after = squared_norm(transition(SLOWEST.hessian, SLOWEST.kept, SLOWEST.pieces) * SLOWEST.difference)
    rate = -(after / squared_norm(SLOWEST.difference)).log() / (2 * SLOWEST.mu * time)
    off = abs(rate - arb(rational(statement.exact("RATE"))))
    holds = False if off > 0 else True if off < arb("1e-12") else None
    return Evidence(
        "the rate is attained, so it is the best", Level.CERTIFIED, holds, str(SLOWEST), f"rate {rate.str(15)}"
    )


def check(statement: Statement) -> Sequence[Evidence]:
    return [
        *identities(),
        attained(statement),
        judged("contraction on instances", statement, INSTANCES, HYPOTHESES, on_instance, level=Level.CERTIFIED),
    ]


THEOREM = Theorem(
    id="exact-endpoint",
    catalogue="T7.1",
    title="The exact end point under a staircase of penalties; two starts agree at rate mu",
    statement=r"w\mapsto e_j+e^{-(H+\lambda_jP)\Delta_j}(w-e_j),\; (H+\lambda_jP)e_j=Hw^*;\quad "
    r"\|\Phi\|\le e^{-\mu T}",
    source="folklore",
    bound="tight",
    proof="Differentiate the closed form. For the difference d of two runs d/dt e^{2 mu t}|d|^2 = "
    "-2 e^{2 mu t} d'(H - mu + lambda P)d <= 0. A kept weight of curvature mu that is coupled to nothing attains it.",
    check=check,
    near_miss=Drop("penalty-not-negative"),
    witness=lambda: witnessed(COUPLED, HYPOTHESES),
    assumptions={
        "curvature": "x'Hx >= mu ||x||^2 for every x, with mu > 0",
        "penalty-not-negative": "lambda_j >= 0 on every piece",
    },
    constants={"RATE": "1"},
)
