r"""How much of the damage of pruning extrusion can recover (catalogue T6.7, sharpened by the condition number).

Statement: with the canonical correlations Rc = H_mm^{-1/2} H_mc H_cc^{-1/2}, the recovered fraction
    1 - L_limit/L_plain lies between the least and the largest eigenvalue \sigma_min^2, \sigma_max^2 of Rc'Rc, one per
    pruned weight (so \sigma_min = 0 if more weights are pruned than kept), and max L_plain/L_limit =
    1/(1 - \sigma_max^2).
    For every mask \sigma_max <= (\kappa-1)/(\kappa+1), hence L_plain/L_limit <= (\kappa+1)^2/(4\kappa), attained by
    two weights whose principal axes are at 45 degrees. At \kappa = 9 this is MOST = 25/9.
Assumptions: H symmetric; spectrum of H in [\mu, \kappa\mu], \mu > 0; w*_c != 0, else nothing is lost.
Source: canonical correlations: not found in the literature for pruning; the bound is Wielandt's inequality.
Bound: tight.
Proof: with y = H_cc^{1/2} w*_c, L_limit = (|y|^2 - |Rc y|^2)/2. For the bound (H-\mu)(H-L) <= 0, so H + \mu L H^{-1} <=
    \mu + L; its pruned block is H_cc + \mu L S^{-1} <= \mu + L, and x(\mu+L-x) <= (\mu+L)^2/4.
Evidence: free algebra for every block size, SymPy for the scalar step, exact rational instances (the interval by
    definiteness).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import sympy
from flint import fmpq, fmpq_mat

from unilth.theory.blocks import Problem, is_symmetric, problem
from unilth.theory.evidence import Drop, Evidence, Statement, Theorem
from unilth.theory.exact import form, identity, positive_definite, positive_semidefinite, rational
from unilth.theory.verdicts import Verdict, judged, shown, witnessed
from unilth.theory.words import Algebra, letters

EVERY = "blocks of every size, free algebra"
KAPPA = fmpq(9)


@dataclass(frozen=True, eq=False)
class Banded:
    """A problem with a claimed least eigenvalue mu; kappa is 9 throughout."""

    problem: Problem
    mu: fmpq

    def __str__(self) -> str:
        return f"{self.problem}, mu = {self.mu}, kappa = {KAPPA}"


EXTREMAL = Banded(problem("axes at 45 degrees", [[5, 4], [4, 5]], [0, 1], (0,)), fmpq(1))
INSTANCES = (
    EXTREMAL,
    Banded(problem("three weights", [[4, 1, 1], [1, 3, 0], [1, 0, 5]], [1, 2, -1], (1,)), fmpq(1)),
    Banded(problem("uncoupled", [[1, 0], [0, 9]], [2, 1], (0,)), fmpq(1)),
    Banded(problem("stronger coupling than the spectrum allows", [[5, "9/2"], ["9/2", 5]], [0, 1], (0,)), fmpq(1)),
    Banded(
        problem(
            "two kept, two pruned", [[4, 1, 1, 0], [1, 3, 0, 1], [1, 0, 5, 1], [0, 1, 1, 4]], [1, 2, -1, 3], (0, 2)
        ),
        fmpq(1),
    ),
    Banded(problem("not symmetric", [[2, 4], [-1, 2]], [0, 1], (0,)), fmpq(1, 2)),
    Banded(problem("nothing is lost", [[5, 4], [4, 5]], [1, 0], (0,)), fmpq(1)),
)
HYPOTHESES = {
    "symmetric": lambda b: is_symmetric(b.problem),
    "spectrum": lambda b: (
        b.mu > 0
        and positive_semidefinite(b.problem.hessian - identity(b.problem.hessian.nrows()) * b.mu)
        and positive_semidefinite(identity(b.problem.hessian.nrows()) * (b.mu * KAPPA) - b.problem.hessian)
    ),
    "something-lost": lambda b: any(x != 0 for x in b.problem.target.entries()),
}


def losses(b: Banded) -> tuple[fmpq, fmpq]:
    """Loss of the plain mask and of the growing penalty's limit, from the problem itself."""
    p = b.problem
    return p.loss(p.hard_pruned(p.minimiser)), p.loss(p.joined(p.target * 0))


def in_range(q: fmpq_mat, h: fmpq_mat, value: fmpq) -> bool:
    """Whether `value` is between the least and the largest root x of det(q - x h), h positive definite; exact."""
    return not positive_definite(q - h * value) and not positive_definite(h * value - q)


def on_instance(b: Banded, statement: Statement) -> Verdict:
    most = rational(statement.exact("MOST"))
    plain, limit = losses(b)
    p = b.problem
    if plain == 0:
        return False, "nothing is lost, so no fraction of it is recovered"
    if not p.is_constrained_optimum(p.joined(p.target * 0)):
        return False, "the limit in closed form is not the optimum of its mask"
    pull = p.part("m", "c") * p.target
    if plain - limit != form(pull, p.part("m", "m").inv(), pull) / 2:
        return False, f"L_plain - L_limit = {plain - limit} is not |Rc y|^2/2"
    curved = p.part("c", "c")
    absorbed = p.part("c", "m") * p.coupling  # H_cc^{1/2} Rc'Rc H_cc^{1/2}
    if not in_range(absorbed, curved, 1 - limit / plain):
        return False, f"the fraction {1 - limit / plain} is outside [sigma_min^2, sigma_max^2]"
    if not positive_semidefinite(curved * (1 - 1 / most) - absorbed):
        return False, f"1/(1 - sigma_max^2) is more than {most}"
    if plain > most * limit:
        return False, f"L_plain/L_limit = {plain / limit}, more than {most}"
    return True, ""


def attained(statement: Statement) -> Evidence:
    plain, limit = losses(EXTREMAL)
    found = plain / limit
    return shown("the bound is attained", found == rational(statement.exact("MOST")), str(EXTREMAL), f"ratio {found}")


@cache  # nothing in it depends on the statement
def identities() -> tuple[Evidence, ...]:
    # E = H_cc^{1/2}, e its inverse, q = H_mm^{-1/2}; Rc = q B e
    E, e, q, B, b, Y, y, H, G, k, L = letters("E e q B b Y y H G k L")
    one = E * 0 + 1
    roots = Algebra(rules={"E e": one, "e E": one})
    # L_plain = y'y/2 with y = E c, L_limit = c'(EE - b q q B)c/2 with c = e y
    limit = roots.equal(Y * e * (E * E - b * q * q * B) * e * y, Y * y - Y * (e * b * q) * (q * B * e) * y)
    band = Algebra(rules={"H G": one, "G H": one}, central="k L")  # G = H^{-1}, spectrum in [k, L]
    wielandt = band.equal((k + L) - H - k * L * G, -1 * (G * (H - k) * (H - L)))
    x, mu, kappa = sympy.symbols("x mu kappa", positive=True)
    peak = sympy.expand((mu + kappa * mu) ** 2 / 4 - x * (mu + kappa * mu - x) - (x - (mu + kappa * mu) / 2) ** 2) == 0
    h = sympy.Matrix([[1 + kappa, kappa - 1], [kappa - 1, 1 + kappa]]) / 2
    spectrum = {sympy.expand(v) for v in h.eigenvals()} == {sympy.Integer(1), kappa}
    ratio = sympy.cancel(h[1, 1] / (h[1, 1] - h[0, 1] ** 2 / h[0, 0]) - (kappa + 1) ** 2 / (4 * kappa)) == 0
    return (
        shown("2 L_limit = |y|^2 - |Rc y|^2", limit, EVERY),
        shown("mu + L - H - mu L H^{-1} = -H^{-1}(H-mu)(H-L) >= 0", wielandt, "every n, free algebra"),
        shown("x(mu + L - x) <= (mu+L)^2/4", peak, "all mu, kappa (SymPy)"),
        shown("two weights at 45 degrees attain (kappa+1)^2/(4 kappa)", spectrum and ratio, "all kappa (SymPy)"),
    )


def check(statement: Statement) -> Sequence[Evidence]:
    return [
        *identities(),
        attained(statement),
        judged("fraction, its interval and the bounds on instances", statement, INSTANCES, HYPOTHESES, on_instance),
    ]


THEOREM = Theorem(
    id="recoverable-fraction",
    catalogue="T6.7",
    title="How much of the damage of pruning extrusion can recover",
    statement=r"R=H_{mm}^{-1/2}H_{mc}H_{cc}^{-1/2},\ w^*_c\ne0:\quad "
    r"1-\frac{L_\infty}{L_{\text{plain}}}\in[\sigma^2_{\min},\sigma^2_{\max}]=[\lambda_{\min},\lambda_{\max}](R'R),"
    r"\quad \frac{L_{\text{plain}}}{L_\infty}\le\frac1{1-\sigma_{\max}^2}\le\frac{(\kappa+1)^2}{4\kappa}",
    source="not found in the literature for pruning; the bound by kappa is Wielandt's inequality",
    bound="tight",
    proof="With y = H_cc^{1/2} w*_c, 2 L_plain = |y|^2 and 2 L_limit = |y|^2 - |Rc y|^2: a Rayleigh quotient. "
    "(H-mu)(H-L) <= 0 gives H + mu L H^{-1} <= mu + L, whose pruned block is H_cc + mu L S^{-1} <= mu + L, so "
    "H_cc <= (mu+L)^2/(4 mu L) S because x(mu+L-x) <= (mu+L)^2/4.",
    check=check,
    near_miss=Drop("spectrum"),
    witness=lambda: witnessed(INSTANCES[1], HYPOTHESES),
    assumptions={
        "symmetric": "H = H'",
        "spectrum": "the spectrum of H lies in [mu, kappa mu] with mu > 0",
        "something-lost": "w*_c != 0",
    },
    constants={"MOST": "25/9"},
    depends_on=("growing-penalty-is-schur-ridge", "information-extrusion-identity"),
)
