r"""What a ramp buys is a lower peak of the loss, not a better end point (catalogue T7.10).

Statement: (i) mask and fine-tune reaches the same point as the growing penalty, at the rate \lambda_min(H_mm) >= \mu.
    (ii) pruning at once has the peak loss w*_c'H_cc w*_c/2, an adiabatic ramp only its final value w*_c'S w*_c/2;
    the ratio is at most (\kappa+1)^2/(4\kappa) (T6.7).
    (iii) the hyperbolic ramp \lambda = \sigma t/(T-t), \sigma = \sqrt{s_min s_max} of S, extrudes completely in the
    finite time T, from w*, with an error of at most \sqrt{1+||B||^2} \sqrt{\kappa_S} ||w*_c|| / (\mu T), and \sqrt{2
    peak} <= \sqrt{w*_c'S w*_c} + \sqrt L times that. No other \sigma has a smaller bound than SHARE \sqrt{\kappa_S},
    SHARE = 1.
Assumptions: spectrum of H in [\mu, L], \mu > 0; the scale \sigma is the natural one (for iii).
Source: interlacing: Cauchy; the rest not found in the literature.
Bound: tight in \sigma.
Proof: \lambda' = (\lambda+\sigma)^2/(\sigma T) times T6.1's speed s/(s+\lambda)^2 per eigenvalue is at most
    max(s/\sigma, \sigma/s)/T for every \lambda; integrate against e^{-\mu t} (T7.2).
Evidence: free algebra and SymPy; exact rationals on instances.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import sympy
from flint import fmpq

from unilth.theory.blocks import BLOCKS, Problem, R, S, c, l, problem
from unilth.theory.evidence import Evidence, Move, Statement, Theorem
from unilth.theory.exact import identity, positive_semidefinite, rational, symmetric
from unilth.theory.verdicts import Verdict, judged, shown, witnessed


@dataclass(frozen=True, eq=False)
class Ramped:
    """A problem with a diagonal Schur complement (s), a claimed mu, and the scale sigma; T = 1."""

    problem: Problem
    mu: fmpq
    scale: fmpq

    def __str__(self) -> str:
        return f"{self.problem}, mu = {self.mu}, sigma = {self.scale}"

    @property
    def spectrum(self) -> list[fmpq]:
        s = self.problem.schur
        return sorted(s[i, i] for i in range(s.nrows()))


# H/H_mm = diag(1, 4) and diag(1, 9); both have rational natural scales
NATURAL = Ramped(
    problem("S = diag(1, 4)", [[1, 1, -1], [1, 2, -1], [-1, -1, 5]], [0, 2, 1], (0,)), rational("1/4"), fmpq(2)
)
WIDE = Ramped(problem("S = diag(1, 9)", [[2, 0, 0], [0, 1, 0], [0, 0, 9]], [1, 1, 1], (0,)), fmpq(1), fmpq(3))
INSTANCES = (
    NATURAL,
    WIDE,
    Ramped(WIDE.problem, fmpq(1), fmpq(9)),
    Ramped(
        problem("a flatter kept weight than mu", [[1, 0, 0], [0, 4, 0], [0, 0, 9]], [1, 1, 1], (0,)), fmpq(4), fmpq(6)
    ),
)
HYPOTHESES = {
    "spectrum": lambda r: (
        symmetric(r.problem.hessian)
        and r.mu > 0
        and positive_semidefinite(r.problem.hessian - identity(r.problem.hessian.nrows()) * r.mu)
    ),
    "natural-scale": lambda r: r.scale**2 == r.spectrum[0] * r.spectrum[-1],
}
PENALTIES = tuple(rational(x) for x in ("0", "1/10", "1", "3", "20", "1000"))


def fastest(r: Ramped) -> fmpq:
    """sup over lambda >= 0 and the eigenvalues of s(lambda+sigma)^2/((s+lambda)^2 sigma): T times the scaled speed.

    Each factor runs monotonically from (sigma/s)^2 at lambda = 0 to 1 at infinity, so both ends are enough.
    """
    return max(max(r.scale / s, s / r.scale) for s in r.spectrum)


def on_instance(r: Ramped, statement: Statement) -> Verdict:
    p = r.problem
    kept = p.part("m", "m")
    if not positive_semidefinite(kept - identity(kept.nrows()) * r.mu):
        return False, "H_mm has an eigenvalue below mu: fine-tuning is slower than claimed"
    ratio2 = r.spectrum[-1] / r.spectrum[0]
    for s in r.spectrum:
        for penalty in PENALTIES:
            speed = s * (penalty + r.scale) ** 2 / ((s + penalty) ** 2 * r.scale)
            if speed**2 > ratio2:
                return (
                    False,
                    f"scaled speed {speed} at lambda = {penalty}, s = {s} exceeds sqrt(kappa_S), kappa_S = {ratio2}",
                )
    if fastest(r) ** 2 != rational(statement.exact("SHARE")) ** 2 * ratio2:
        return False, f"the fastest scaled speed is {fastest(r)}, not SHARE sqrt({ratio2})"
    plain, limit = p.loss(p.hard_pruned(p.minimiser)), p.loss(p.joined(p.target * 0))
    on_the_way = [p.loss(p.weights(penalty)) for penalty in PENALTIES]
    if not all(loss <= limit <= plain for loss in on_the_way):
        return False, f"losses {[str(x) for x in on_the_way]} against the limit {limit} and at once {plain}"
    return True, ""


@cache  # nothing in it depends on the statement
def identities() -> tuple[Evidence, ...]:
    t, eq = BLOCKS.transpose, BLOCKS.equal
    loss2 = t(l * R * c) * S * (l * R * c)
    gap = eq(t(c) * S * c - loss2, t(c) * S * R * (2 * l + S) * S * R * c)
    s, sigma, lam, T, time, p, q = sympy.symbols("s sigma lambda T t p q", positive=True)
    ramp = sigma * time / (T - time)
    slope = sympy.cancel(sympy.diff(ramp, time) - (ramp + sigma) ** 2 / (sigma * T)) == 0
    ratio = (lam + sigma) / (lam + s)
    below = sympy.cancel(1 - ratio - (s - sigma) / (lam + s)) == 0  # s >= sigma: ratio <= 1
    above = sympy.cancel(sigma / s - ratio - lam * (sigma - s) / (s * (lam + s))) == 0  # s <= sigma: ratio <= sigma/s
    # s_min = p^2, s_max = q^2: the two bounds multiply to kappa_S for every sigma, so their maximum is at least q/p
    best = sympy.cancel((q**2 / sigma) * (sigma / p**2) - (q / p) ** 2) == 0
    at_natural = sympy.cancel(q**2 / (p * q) - q / p) == 0 and sympy.cancel(p * q / p**2 - q / p) == 0
    return (
        shown("adiabatic losses stay below w*_c'S w*_c/2", gap, "blocks of every size, free algebra"),
        shown("lambda' = (lambda+sigma)^2/(sigma T)", slope, "all t < T (SymPy)"),
        shown("(lambda+sigma)/(lambda+s) is at most max(1, sigma/s)", below and above, "all s, sigma, lambda (SymPy)"),
        shown("no sigma beats sqrt(kappa_S), the natural one attains it", best and at_natural, "all spectra (SymPy)"),
    )


def check(statement: Statement) -> Sequence[Evidence]:
    return [
        *identities(),
        judged("interlacing, speeds and peaks on instances", statement, INSTANCES, HYPOTHESES, on_instance),
    ]


THEOREM = Theorem(
    id="peak-loss",
    catalogue="T7.10",
    title="What a ramp buys is a lower peak of the loss, not a better end point",
    statement=r"\lambda_{\min}(H_{mm})\ge\mu;\quad \mathrm{peak}_{\text{at once}}=\tfrac12w^{*\prime}_cH_{cc}w^*_c,\;"
    r"\mathrm{peak}_{\text{adiabatic}}=\tfrac12w^{*\prime}_cSw^*_c;\quad \lambda=\tfrac{\sigma t}{T-t}:\ "
    r"\mathrm{error}\le\sqrt{1+\|B\|^2}\sqrt{\kappa_S}\,\|w^*_c\|/(\mu T)",
    source="interlacing: Cauchy; the rest not found in the literature",
    bound="tight",
    proof="(i) x'H_mm x = (x,0)'H(x,0) >= mu|x|^2. (ii) T6.1: L(w(lambda)) rises to w*_c'S w*_c/2; T6.7 bounds the "
    "ratio. (iii) lambda' = (lambda+sigma)^2/(sigma T) and |e'| per eigenvalue is s/(s+lambda)^2, so "
    "lambda'|e'| <= max(s/sigma, sigma/s)/T <= sqrt(kappa_S)/T; T7.2's comparison divides by mu. sqrt(2L(w)) "
    "is the H-norm of w - w*, at most that of e(lambda) - w* plus sqrt(L) times the error.",
    check=check,
    near_miss=Move("SHARE", "1e-6"),
    witness=lambda: witnessed(NATURAL, HYPOTHESES),
    assumptions={
        "spectrum": "H symmetric with spectrum in [mu, L], mu > 0",
        "natural-scale": "sigma^2 = s_min s_max of the Schur complement (for iii)",
    },
    constants={"SHARE": "1"},
    depends_on=("growing-penalty-is-schur-ridge", "recoverable-fraction", "adiabatic-tracking"),
)
