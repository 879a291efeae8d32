r"""Any design: the averaged path solves a dual equation, and the end minimises the hyperbolic entropy.

Statement
    w = u²-v² on L(w) = ½w'Mw - c'w from u0 = v0 = α: arcsinh(w_j(t)/2α²) = -RATE t ∂_jL(w̄(t)), w̄ the time average. If
    L = ½‖Xw-y‖² and Xw = y can be solved, w(t) converges to the only minimiser on {Xw = y} of ψ(w) =
    Σ w_j arcsinh(w_j/2α²) - √(w_j²+4α⁴); ψ/ln(1/α²) -> ‖w‖_1 as α -> 0 and 4α²(ψ-ψ(0)) -> ‖w‖_2² as α -> ∞.
Assumptions
    square loss: the gradient of L is affine. balanced: u0 = v0. solvable: some w has Xw = y (for the end).
Source
    Mirror flow: Woodworth et al. 2020, Azulay et al. 2021; averaged identity: Berthier 2025.
Bound
    Identity.
Proof
    (arcsinh(w_j/2A))' = -4 ∂_jL(w), A = α²; integrate and use that the average passes through an affine gradient. The
    right side stays in the row space of X, and ∇ψ(w) = arcsinh(w/2A): these are the optimality conditions of the
    strictly convex ψ on {Xw = y}. It gets there: w_j' = -4√(w_j²+4A²) ∂_jL, so L' <= -8A‖∇L‖² <= -16A λ L with λ the
    least positive eigenvalue of X'X, and |(arcsinh(w_j/2A))'| <= 4‖∇L‖ is integrable.
Evidence
    Symbolic for the identities and limits; power series of the flow in exact rationals to order 6 on instances; the
    end on instances, where it is solved for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any

import sympy as sp
from flint import arb, fmpq

from unilth.theory.balls import precision
from unilth.theory.certify import root
from unilth.theory.evidence import Evidence, Level, Move, Statement, Theorem
from unilth.theory.exact import column, matrix, rational
from unilth.theory.verdicts import Verdict, judged, shown, witnessed

ORDER = 6
Series = list[Fraction]


def product(first: Series, second: Series) -> Series:
    """Product of power series up to the shorter's order."""
    n = min(len(first), len(second))
    return [sum((first[i] * second[k - i] for i in range(k + 1)), Fraction(0)) for k in range(n)]


@dataclass(frozen=True)
class Flow:
    """Two factors per weight, L(w) = Σ_k (row_k·w - y_k)^power / power, start (u0, v0) in every coordinate."""

    rows: tuple[tuple[int, ...], ...]
    targets: tuple[Fraction, ...]
    start: tuple[Fraction, Fraction]
    power: int = 2

    @property
    def solvable(self) -> bool:
        """Whether some w has row_k·w = y_k for every k."""
        both = matrix([*row, y] for row, y in zip(self.rows, self.targets, strict=True))
        return bool(matrix(self.rows).rank() == both.rank())

    def gradient(self, w: list[Series]) -> list[Series]:
        """∂_jL along the series of the weights."""
        total = [[Fraction(0)] * len(w[0]) for _ in w]
        for row, y in zip(self.rows, self.targets, strict=True):
            error = [sum((x * c[k] for x, c in zip(row, w, strict=True)), Fraction(0)) for k in range(len(w[0]))]
            error[0] -= y
            force = error
            for _ in range(self.power - 2):
                force = product(force, error)
            total = [[g + x * f for g, f in zip(grad, force, strict=True)] for grad, x in zip(total, row, strict=True)]
        return total

    def series(self) -> tuple[list[Series], list[Series]]:
        """Power series in t of the weights and of ln(u_j/v_j): u' = -2u g, v' = 2v g, so (ln(u/v))' = -4g."""
        d = len(self.rows[0])
        u, v = ([[start] for _ in range(d)] for start in self.start)
        for k in range(ORDER):
            w = [[a - b for a, b in zip(product(x, x), product(z, z), strict=True)] for x, z in zip(u, v, strict=True)]
            g = self.gradient(w)
            for j in range(d):
                u[j].append(-2 * product(u[j], g[j])[k] / (k + 1))
                v[j].append(2 * product(v[j], g[j])[k] / (k + 1))
        w = [[a - b for a, b in zip(product(x, x), product(z, z), strict=True)] for x, z in zip(u, v, strict=True)]
        return w, [[a - b for a, b in zip(logarithm(x), logarithm(z), strict=True)] for x, z in zip(u, v, strict=True)]


def logarithm(x: Series) -> Series:
    """ln(x/x_0) as a power series: k x_0 l_k = k x_k - Σ i l_i x_{k-i}."""
    out = [Fraction(0)]
    for k in range(1, len(x)):
        known = sum((i * out[i] * x[k - i] for i in range(1, k)), Fraction(0))
        out.append((k * x[k] - known) / (k * x[0]))
    return out


HALF = Fraction(1, 2)
INSTANCES = (
    Flow(((1, 2),), (Fraction(3),), (HALF, HALF)),
    Flow(((1, 0), (1, 1)), (Fraction(1), Fraction(-2)), (Fraction(2), Fraction(2))),
    Flow(((1,),), (Fraction(1),), (HALF, HALF), power=4),  # violates square loss
    Flow(((1, 2),), (Fraction(3),), (Fraction(1), HALF)),  # violates balanced
    Flow(((1,), (1,)), (Fraction(0), Fraction(1)), (HALF, HALF)),  # violates solvable
)
HYPOTHESES = {
    "square loss": lambda flow: flow.power == 2,
    "balanced": lambda flow: flow.start[0] == flow.start[1],
    "solvable": lambda flow: True,  # the averaged identity needs no solution
}
END_HYPOTHESES = {**HYPOTHESES, "solvable": lambda flow: flow.solvable}


def on_flow(flow: Flow, statement: Statement) -> Verdict:
    """Both sides of arcsinh(w_j/2α²) = -RATE t ∂_jL(w̄) as exact power series; arcsinh((u²-v²)/2uv) = ln(u/v)."""
    if flow.start[0] != flow.start[1]:
        return False, f"{flow}: at t = 0 the left side is ln(u0/v0) != 0, the right side 0"
    w, left = flow.series()
    average = [[c / (k + 1) for k, c in enumerate(x)] for x in w]
    right = [[-statement.exact("RATE") * c for c in [Fraction(0), *g[:-1]]] for g in flow.gradient(average)]
    for j, (one, other) in enumerate(zip(left, right, strict=True)):
        for k, (a, b) in enumerate(zip(one, other, strict=True)):
            if a != b:
                return False, f"{flow}: coordinate {j}, order t^{k}: {a} against {b}"
    return True, ""


def on_end(flow: Flow, statement: Statement) -> Verdict:
    """Where the flow comes to rest (one row, or linearly independent columns), against {Xw = y} and ψ around there."""
    x, y = matrix(flow.rows), column(flow.targets)
    if x.rank() == x.ncols():  # ∇L = 0 has one solution
        w = (x.transpose() * x).inv() * x.transpose() * y
        return x * w == y, f"{flow}: the flow ends at {w.entries()}, where Xw = {(x * w).entries()}"
    a, row = flow.start[0] * flow.start[1], flow.rows[0]
    scale = arb(2 * rational(a))

    def point(dual: Any) -> list[Any]:
        return [scale * ((j * dual).exp() - (-j * dual).exp()) / 2 for j in row]  # what the averaged identity leaves

    with precision():
        found = root(
            lambda t: sum(j * v for j, v in zip(row, point(t), strict=True)) - arb(y[0, 0]), -4, 4, unique=True
        )
        if found is None:
            return None, "no end certified in the row space"
        end = point(found.ball())
        least = potential(end, scale)
        for step in (fmpq(1, 10), fmpq(-1, 10), fmpq(2)):
            other = [end[0] - step * row[1], end[1] + step * row[0], *end[2:]]  # Xw is the same
            more = potential(other, scale) - least
            if not more > 0:
                return (False if more <= 0 else None), f"{flow}: ψ rises {more.str(6)} at {[v.str(6) for v in other]}"
    return True, ""


def potential(w: list[arb], scale: arb) -> arb:
    """ψ with 2A = scale."""
    return sum((v * (v / scale).asinh() - (v * v + scale * scale).sqrt() for v in w), arb(0))


@cache
def entropy() -> tuple[Evidence, ...]:
    """The potential of the mirror flow and its two limits."""
    w, a = sp.symbols("w A", positive=True)
    x = sp.Symbol("x", real=True)
    psi = x * sp.asinh(x / (2 * a)) - sp.sqrt(x**2 + 4 * a**2)
    convex = sp.simplify(sp.diff(psi, x, 2) - 1 / sp.sqrt(x**2 + 4 * a**2))
    ln_form = w * sp.log((w + sp.sqrt(w**2 + 4 * a**2)) / (2 * a)) - sp.sqrt(w**2 + 4 * a**2)  # psi for w > 0
    small = sp.limit(sp.log((w + sp.sqrt(w**2 + 4 * a**2)) / 2), a, 0, "+")  # finite beside ln(1/A)
    eps = sp.Symbol("epsilon", positive=True)  # 1/A
    large = sp.limit((ln_form.subs(a, 1 / eps) + 2 / eps) * 4 / eps, eps, 0, "+")
    every = "all w, A > 0; ψ is even"
    return (
        shown("∇ψ = arcsinh(w/2A)", sp.simplify(sp.diff(psi, x) - sp.asinh(x / (2 * a))) == 0, "all w, A > 0"),
        shown("ψ'' = 1/√(w²+4A²) > 0: strictly convex", convex == 0, "all w, A > 0"),
        shown(
            "A -> 0: ψ/ln(1/A) -> |w|", sp.simplify(small - sp.log(w)) == 0, every, "the remainder has a finite limit"
        ),
        shown("A -> ∞: 4A(ψ-ψ(0)) -> w²", sp.simplify(large - w**2) == 0, every, f"limit {large}"),
    )


@cache
def converges() -> tuple[Evidence, ...]:
    """The speed of the weights, from that of their arcsinh, and L's descent."""
    w = sp.Symbol("w", real=True)
    a = sp.Symbol("A", positive=True)
    speed = sp.simplify(sp.diff(sp.asinh(w / (2 * a)), w) * sp.sqrt(w**2 + 4 * a**2) - 1)
    falls = sp.expand((w**2 + 4 * a**2) - (2 * a) ** 2 - w**2)
    return (
        shown("w' = -4√(w²+4A²) ∂L where (arcsinh(w/2A))' = -4 ∂L", speed == 0, "all w, A > 0"),
        shown("√(w²+4A²) >= 2A, so L' <= -8A‖∇L‖²", falls == 0, "all w, A > 0"),
    )


def check(statement: Statement) -> Sequence[Evidence]:
    u, v, g = sp.symbols("u v g", positive=True)
    rate = sp.Rational(statement.value("RATE"))
    inverse = sp.simplify(sp.sinh(sp.log(u / v)).rewrite(sp.exp) - (u**2 - v**2) / (2 * u * v))
    speed = sp.simplify(-2 * u * g / u - 2 * v * g / v + rate * g)  # (ln u - ln v)' + RATE g
    return [
        shown("arcsinh((u²-v²)/2uv) = ln(u/v)", inverse == 0, "all u, v > 0"),
        shown("(ln(u/v))' = -RATE ∂_jL(w)", speed == 0, "all u, v, ∂_jL", f"residual {speed}"),
        *entropy(),
        *converges(),
        judged(f"both sides as power series to order {ORDER}", statement, INSTANCES, HYPOTHESES, on_flow),
        judged("the end minimises ψ", statement, INSTANCES, END_HYPOTHESES, on_end, level=Level.CERTIFIED),
    ]


THEOREM = Theorem(
    id="diagonal-network-mirror-flow",
    catalogue="T9.3",
    title="For any design the averaged path solves a dual equation; "
    "if Xw = y is solvable, the end minimises the hyperbolic entropy",
    statement=r"\operatorname{arcsinh}\frac{w_j(t)}{2\alpha^2}=-4t\,\partial_jL(\bar w(t)),\qquad "
    r"\{Xw=y\}\ne\emptyset:\ w(\infty)=\arg\min_{Xw=y}\sum_jw_j"
    r"\operatorname{arcsinh}\frac{w_j}{2\alpha^2}-\sqrt{w_j^2+4\alpha^4}",
    source="mirror flow: Woodworth et al. 2020, Azulay et al. 2021; averaged identity: Berthier 2025",
    bound="identity",
    proof="(arcsinh(w_j/2A))'=-4∂_jL(w); the average passes through the affine gradient; ∇ψ=arcsinh(w/2A) stays in the "
    "row space, the optimality condition of the strictly convex ψ on {Xw=y}. L' <= -8A|∇L|² <= -16AλL, λ the least "
    "positive eigenvalue of X'X, so w(t) converges and Xw(∞)=y if that can be.",
    check=check,
    near_miss=Move("RATE"),
    witness=lambda: witnessed(INSTANCES[0], END_HYPOTHESES),
    assumptions={
        "square loss": "the gradient of L is affine",
        "balanced": "u0 = v0",
        "solvable": "some w has Xw = y (for the end)",
    },
    constants={"RATE": "4"},
    depends_on=("diagonal-network-closed-form",),
)
