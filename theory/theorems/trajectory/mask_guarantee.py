r"""What the stopping time does to the mask: from \kappa to O(\sqrt\kappa) (catalogue T7.5).

Statement: H diagonal with spectrum in [\mu, L], prune the K smallest scores g(h_i)|w*_i|, loss = sum of h w*^2/2 over
the
    pruned. Then loss <= \rho(g) min loss with \rho(g) = (max g/\sqrt h / min g/\sqrt h)^2 over [\mu, L], and no smaller
    factor holds. With \kappa = L/\mu:
    LTH, magnitude at convergence (g = 1), and first-order at 0 (g = h): \rho = \kappa;
    ES, magnitude at the best time (g = 1 - e^{-ht}, \phi(t\mu) = \phi(tL), \phi(y) = (1-e^{-y})/\sqrt y):
    \rho = (PHI/\phi(t\mu))^2; ridge, a = \sqrt{\mu L} (g = h/(h+a)): \rho = cosh^2(ln(\kappa)/4);
    OBD (g = \sqrt h): \rho = 1.
    The constants are those of \kappa = 100; T_ES is t\mu. For two weights there is exactly one time at which the
    order by magnitude is the OBD order whatever w* is; for ridge it is a = \sqrt{h_1 h_2}.
Assumptions: H diagonal; its entries in [\mu, 100\mu].
Source: not found in the literature.
Bound: tight.
Proof: exchange argument; d log\phi / d log y = y/(e^y-1) - 1/2 decreases, so \phi has one peak and the balanced window
    is the best; the same for ridge, whose elasticity is 1/2 - h/(h+a).
Evidence: SymPy for the monotonicities, exact rationals and balls for the table, exact instances for the guarantee.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import combinations
from typing import Any

import sympy
from flint import arb, fmpq, fmpq_mat

from unilth.theory.balls import bracket, precision
from unilth.theory.certify import claimed, root
from unilth.theory.evidence import Evidence, Level, Move, Statement, Theorem
from unilth.theory.exact import Number, block, diagonal, form, matrix, rational
from unilth.theory.verdicts import Verdict, judged, shown, witnessed

KAPPA = fmpq(100)
RULES = ("LTH", "GRADIENT", "ES", "RIDGE", "OBD")


def phi(y: Any) -> Any:
    """(1 - e^{-y})/sqrt(y): ES's score over the true saliency at y = h t, for a ball or a series."""
    return (1 - (-y).exp()) / y.sqrt()


def peak() -> arb:
    """y* where phi is largest. Raises ValueError if no root is found."""
    return located(lambda y: y.exp() - 1 - 2 * y, "1", "2")


def balanced() -> arb:
    """t mu at the best time for kappa = 100."""
    return located(lambda t: phi(t) - phi(100 * t), "0.02", "1")


def located(f: Callable[[Any], Any], lo: str, hi: str) -> arb:
    found = root(f, lo, hi, "1e-30", unique=True)
    if found is None:
        raise ValueError(f"no root was certified between {lo} and {hi}")
    return found.ball()


@dataclass(frozen=True, eq=False)
class Choice:
    """A mask to choose: H, w*, how many to prune, by which rule; mu = 1."""

    name: str
    rule: str
    hessian: fmpq_mat
    weights: tuple[fmpq, ...]
    count: int

    def __str__(self) -> str:
        w = ", ".join(str(x) for x in self.weights)
        return f"{self.name}, rule {self.rule}: H = {self.hessian.tolist()}, w* = ({w}), prune {self.count}"

    def score(self, i: int, time: arb) -> arb | fmpq:
        """The squared score of weight i, exact for all rules but ES, which stops at `time`."""
        h, w2 = self.hessian[i, i], self.weights[i] ** 2
        if self.rule == "ES":
            return (1 - (-time * h).exp()) ** 2 * w2
        a = fmpq(10)  # sqrt(mu L)
        return {"LTH": fmpq(1), "GRADIENT": h**2, "RIDGE": (h / (h + a)) ** 2, "OBD": h}[self.rule] * w2

    def loss(self, pruned: Sequence[int]) -> fmpq:
        """Loss of pruning these and leaving the others at w*."""
        w = fmpq_mat(len(pruned), 1, [self.weights[i] for i in pruned])
        return form(w, block(self.hessian, pruned, pruned), w) / 2


def choice(name: str, rule: str, h: Sequence[Number], w: Sequence[Number], count: int) -> Choice:
    return Choice(name, rule, diagonal([rational(x) for x in h]), tuple(rational(x) for x in w), count)


# Just before a tie between the weight that the rule overrates least and the one it overrates most.
NEAR = rational("0.9999999999")
TIES = {
    "LTH": choice("near a tie", "LTH", [100, 1], [NEAR, 1], 1),
    "GRADIENT": choice("near a tie", "GRADIENT", [1, 100], [NEAR, "1/100"], 1),
    "RIDGE": choice("near a tie", "RIDGE", [1, 10], [NEAR, "2/11"], 1),
    "OBD": choice("near a tie", "OBD", [1, 100], [NEAR, "1/10"], 1),
    # h = y*/T_ES and the ratio of the two scores, rounded
    "ES": choice("near a tie", "ES", [1, "11.925401144"], [NEAR, "0.13979154054"], 1),
}
WIDE: tuple[Sequence[Number], Sequence[Number]] = ([1, 3, 10, 40, 100], [6, "-9/2", 1, "1/3", "1/2"])
INSTANCES = (
    *TIES.values(),
    *(choice("five weights", rule, *WIDE, count) for rule in RULES for count in (1, 2, 3, 4)),
    Choice(
        "coupled", "OBD", matrix([[1, "1/2", 0], ["1/2", 1, 0], [0, 0, 1]]), (fmpq(11, 10), fmpq(-1), fmpq(21, 20)), 2
    ),
    choice("a wider spectrum", "LTH", [1000, 1], [NEAR, 1], 1),
)


def entries(c: Choice) -> list[fmpq]:
    return [c.hessian[i, i] for i in range(c.hessian.nrows())]


HYPOTHESES = {
    "diagonal": lambda c: c.hessian == diagonal(entries(c)),
    "spectrum": lambda c: all(1 <= h <= KAPPA for h in entries(c)),
}


def on_instance(c: Choice, statement: Statement, *, time: arb) -> Verdict:
    """Choose the mask by the rule and compare its loss with the best mask's, found by trying all."""
    n = len(c.weights)
    scores = [arb(c.score(i, time)) for i in range(n)]
    for pruned in combinations(range(n), c.count):
        if all(scores[i] < scores[j] for i in pruned for j in range(n) if j not in pruned):
            break
    else:
        return None, "scores too close to order"
    best = min(c.loss(other) for other in combinations(range(n), c.count))
    rho = rational(statement.exact(f"RHO_{c.rule}"))
    return c.loss(
        pruned
    ) <= rho * best, f"loss {c.loss(pruned)}, best {best}: ratio {arb(c.loss(pruned) / best).str(12)}"


def table(statement: Statement, top: arb, time: arb) -> list[Evidence]:
    """rho of every rule at kappa = 100."""
    a = fmpq(10)
    ends = [fmpq(1), KAPPA]
    # psi^2 = g^2/h: monotone for LTH and GRADIENT, constant for OBD, one peak 1/(4a) at h = a for RIDGE
    exact = {
        "RHO_LTH": (1 / ends[0]) / (1 / ends[1]),
        "RHO_GRADIENT": ends[1] / ends[0],
        "RHO_RIDGE": (1 / (4 * a)) / min(h / (h + a) ** 2 for h in ends),
        "RHO_OBD": fmpq(1),
    }
    out = []
    for name, value in exact.items():
        equal = value == rational(statement.exact(name))
        pair = {name: bracket(arb(value)).pair()}
        out.append(Evidence(name, Level.SYMBOLIC, equal, "kappa = 100, exact", f"it is {value}", pair))
    balls = {
        "Y_STAR": (top, "the only root of e^y = 1+2y on (0, inf)"),
        "PHI": (phi(top), "maximum of phi on (0, inf)"),
        "T_ES": (time, "the only root of phi(t) = phi(100 t)"),
        "RHO_ES": ((phi(top) / phi(time)) ** 2, "kappa = 100"),
    }
    for name, (value, scope) in balls.items():
        out.append(claimed(name, bracket(value, digits=30), statement.value(name), name, scope))
    return out


def attained(statement: Statement, time: arb) -> list[Evidence]:
    """Each claimed factor is approached within 1e-6 by two weights near a tie."""
    out = []
    for rule, c in TIES.items():
        pruned = (0,) if arb(c.score(0, time)) < arb(c.score(1, time)) else (1,)
        reached = c.loss(pruned) / min(c.loss((0,)), c.loss((1,)))
        short = rational(statement.exact(f"RHO_{rule}")) - reached
        out.append(
            shown(f"RHO_{rule} is approached", 0 <= short < rational("1e-6"), str(c), f"short by {arb(short).str(5)}")
        )
    return out


@cache  # nothing in it depends on the statement
def monotonicities() -> tuple[Evidence, ...]:
    """One peak, balanced window, one time for two weights: all from elasticities that decrease."""
    y, h, a, h1, h2, q = sympy.symbols("y h a h1 h2 q", positive=True)
    log_phi = sympy.log(1 - sympy.exp(-y)) - sympy.log(y) / 2
    elasticity = y / (sympy.exp(y) - 1) - sympy.Rational(1, 2)
    is_elasticity = sympy.simplify(y * sympy.diff(log_phi, y) - elasticity) == 0
    # (1 - y - e^{-y}) e^y/(e^y-1)^2 < 0 because e^{-y} > 1 - y
    slope = (
        sympy.simplify(sympy.diff(elasticity, y) - sympy.exp(y) * (1 - y - sympy.exp(-y)) / (sympy.exp(y) - 1) ** 2)
        == 0
    )
    stationary = sympy.simplify(elasticity.subs(sympy.exp(y), 1 + 2 * y)) == 0
    ridge = sympy.cancel(
        h * sympy.diff(sympy.log(h / (h + a)) - sympy.log(h) / 2, h) - (sympy.Rational(1, 2) - h / (h + a))
    )
    cosh = sympy.cancel(
        ((q + 1 / q) / 2) ** 2 - (1 / (4 * q**2)) / (1 / (1 + q**2) ** 2)
    )  # q^4 = kappa, a = q^2, mu = 1
    order = (h1 / (h1 + a) / (h2 / (h2 + a))).subs(a, sympy.sqrt(h1 * h2))
    ridge_time = sympy.simplify(order - sympy.sqrt(h1 / h2)) == 0
    return (
        shown("phi's elasticity is y/(e^y-1) - 1/2", is_elasticity, "all y > 0 (SymPy)"),
        shown("it decreases: its slope is e^y(1-y-e^{-y})/(e^y-1)^2 < 0", slope, "all y > 0 (SymPy)"),
        shown("it vanishes where e^y = 1 + 2y", stationary, "SymPy"),
        shown("ridge's elasticity is 1/2 - h/(h+a), which decreases in h", ridge == 0, "all h, a > 0 (SymPy)"),
        shown("rho of ridge at a = sqrt(mu L) is cosh^2(ln(kappa)/4)", cosh == 0, "all kappa (SymPy)"),
        shown("two weights: at a = sqrt(h1 h2) the ridge order is the OBD order", ridge_time, "all h1, h2 (SymPy)"),
    )


def check(statement: Statement) -> Sequence[Evidence]:
    with precision(160):
        top, time = peak(), balanced()
        guarantee = partial(on_instance, time=time)
        return [
            *monotonicities(),
            *table(statement, top, time),
            *attained(statement, time),
            judged("the guarantee on instances", statement, INSTANCES, HYPOTHESES, guarantee, level=Level.CERTIFIED),
        ]


THEOREM = Theorem(
    id="mask-guarantee",
    catalogue="T7.5",
    title="What the stopping time does to the mask: its worst-case guarantee falls from kappa to O(sqrt kappa)",
    statement=r"L(\text{mask by }g(h)|w^*|)\le\rho(g)\min L,\quad "
    r"\rho(g)=\Big(\max_{[\mu,L]}\tfrac{g}{\sqrt h}\Big/\min_{[\mu,L]}\tfrac{g}{\sqrt h}\Big)^2\ \text{(sharp)}",
    source="not found in the literature",
    bound="tight",
    proof="With x = sqrt(h)|w*| and psi = g/sqrt(h) the rule orders psi x and the best mask orders x. Pair the "
    "weights pruned wrongly with those kept wrongly: psi_i x_i <= psi_j x_j gives x_i^2 <= rho x_j^2; add "
    "up. Two weights near a tie attain it. log phi is concave in log y, so phi has one peak and for a window "
    "of width kappa the largest loss of height, (PHI/phi)^2, is least when both ends are equally low. For "
    "two weights (1-e^{-h1 t})/(1-e^{-h2 t}), h1 < h2, rises strictly from h1/h2 to 1 and passes sqrt(h1/h2) "
    "once.",
    check=check,
    near_miss=Move("RHO_ES", "1e-6"),
    witness=lambda: witnessed(TIES["ES"], HYPOTHESES),
    assumptions={"diagonal": "H is diagonal", "spectrum": "its entries lie in [mu, 100 mu]"},
    constants={
        "PHI": "0.638172686338951480935369235",
        "Y_STAR": "1.256431208626169676982737617",
        "T_ES": "0.105357563524258868255731902",
        "RHO_ES": "4.291066271022281014845618909",
        "RHO_RIDGE": "3.025",
        "RHO_LTH": "100",
        "RHO_GRADIENT": "100",
        "RHO_OBD": "1",
    },
)
