r"""What a ramp buys is a lower peak of the loss, not a better end point (catalogue T7.10).

Statement: (i) mask and fine-tune reaches the same point as the growing penalty, at the rate \lambda_min(H_mm) >= \mu.
    (ii) from w*, pruning at once has the peak loss w*_c'H_cc w*_c/2, an adiabatic ramp only its final value
    w*_c'S w*_c/2; the ratio is at most (\kappa+1)^2/(4\kappa) (T6.7).
    (iii) the hyperbolic ramp \lambda = \sigma t/(T-t), \sigma = \sqrt{s_min s_max} of S, extrudes completely in the
    finite time T. From w* it is never farther from w(\lambda) than \sqrt{1+||B||^2} \sqrt{\kappa_S} ||w*_c|| / (\mu T),
    its error at T, and \sqrt{2 peak} <= \sqrt{w*_c'S w*_c} + \sqrt L times that. From an early-stopped w(t_1) add
    e^{-\mu t}||w(t_1)-w*|| to the distance. No other \sigma has a smaller bound than SHARE \sqrt{\kappa_S}, SHARE = 1.
Assumptions: spectrum of H in [\mu, L], \mu > 0; the scale \sigma is the natural one (for iii); pruning starts at w*
    (for ii, and for iii without the added term).
Source: interlacing: Cauchy; the rest not found in the literature.
Bound: tight in \sigma.
Proof: \lambda' = (\lambda+\sigma)^2/(\sigma T) times T6.1's speed s/(s+\lambda)^2 per eigenvalue is at most
    max(s/\sigma, \sigma/s)/T for every \lambda; integrate against e^{-\mu t} (T7.2).
Evidence: free algebra and SymPy; exact rationals on instances; the ramp itself by its power series, in balls.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial

import sympy
from flint import arb, fmpq, fmpq_mat

from unilth.theory.blocks import BLOCKS, Problem, R, S, c, l, problem
from unilth.theory.evidence import Evidence, Level, Move, Statement, Theorem
from unilth.theory.exact import column, diagonal, form, identity, positive_semidefinite, rational, symmetric
from unilth.theory.verdicts import Verdict, judged, shown, witnessed

ONE = fmpq(1)


@dataclass(frozen=True, eq=False)
class Ramped:
    """A problem with one kept weight, a diagonal Schur complement (s), a claimed spectrum [mu, top], the scale sigma,
    the ramp's duration T and where it starts (w* if nothing else is given)."""

    problem: Problem
    mu: fmpq
    top: fmpq
    scale: fmpq
    time: fmpq = ONE
    start: fmpq_mat | None = None

    def __str__(self) -> str:
        return f"{self.problem}, spectrum in [{self.mu}, {self.top}], sigma = {self.scale}, T = {self.time}"

    @property
    def begin(self) -> fmpq_mat:
        return self.problem.minimiser if self.start is None else self.start

    @property
    def spectrum(self) -> list[fmpq]:
        s = self.problem.schur
        return sorted(s[i, i] for i in range(s.nrows()))


# H/H_mm = diag(1, 4) and diag(1, 9); both have rational natural scales
NATURAL = Ramped(
    problem("S = diag(1, 4)", [[1, 1, -1], [1, 2, -1], [-1, -1, 5]], [0, 2, 1], (0,)), rational("1/4"), fmpq(6), fmpq(2)
)
WIDE = Ramped(problem("S = diag(1, 9)", [[2, 0, 0], [0, 1, 0], [0, 0, 9]], [1, 1, 1], (0,)), fmpq(1), fmpq(9), fmpq(3))
INSTANCES = (
    NATURAL,
    WIDE,
    Ramped(NATURAL.problem, NATURAL.mu, NATURAL.top, NATURAL.scale, fmpq(8)),
    Ramped(WIDE.problem, fmpq(1), fmpq(9), fmpq(9)),  # violates natural-scale
    Ramped(  # violates spectrum
        problem("a flatter kept weight than mu", [[1, 0, 0], [0, 4, 0], [0, 0, 9]], [1, 1, 1], (0,)),
        fmpq(4), fmpq(9), fmpq(6),
    ),
    Ramped(  # violates trained
        problem("hardly trained", [[1, 0, 0], [0, 1, 0], [0, 0, 9]], [1, "1/1000", "1/1000"], (0,)),
        fmpq(1), fmpq(9), fmpq(3), fmpq(2), column([0, 0, 0]),
    ),
)  # fmt: skip
HYPOTHESES = {
    "spectrum": lambda r: (
        symmetric(r.problem.hessian)
        and r.mu > 0
        and positive_semidefinite(r.problem.hessian - identity(r.problem.hessian.nrows()) * r.mu)
        and positive_semidefinite(identity(r.problem.hessian.nrows()) * r.top - r.problem.hessian)
    ),
    "natural-scale": lambda r: r.scale**2 == r.spectrum[0] * r.spectrum[-1],
    "trained": lambda r: r.begin == r.problem.minimiser,
}
ANY_START = {**HYPOTHESES, "trained": lambda r: True}
TERMS = 250  # of the power series; its radius is T
MOMENTS = tuple(rational(x) for x in ("1/4", "1/2", "9/10"))  # shares of T
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
    plain, limit = p.loss(p.hard_pruned(r.begin)), p.loss(p.joined(p.target * 0))
    if plain != form(p.target, p.part("c", "c"), p.target) / 2 or limit != form(p.target, p.schur, p.target) / 2:
        return False, f"pruning at once costs {plain}, the limit {limit}"
    on_the_way = [p.loss(p.weights(penalty)) for penalty in PENALTIES]
    if not all(loss <= limit <= plain for loss in on_the_way):
        return False, f"losses {[str(x) for x in on_the_way]} against the limit {limit} and at once {plain}"
    return True, ""


def ramped(r: Ramped) -> list[tuple[fmpq, list[arb]]]:
    """Times t and enclosures of w(t) under lambda = sigma t/(T-t), by the power series of
    (T-t)w' = -(T-t)H(w-w*) - sigma t Pw. What the truncated series p leaves of it is two terms; divided by T-t they are
    p's defect, and since the flow is a contraction (H + lambda P >= 0) |w - p| <= t times the largest defect.
    """
    p, h = r.problem, r.problem.hessian
    pressed = diagonal([0 if i in p.kept else r.scale for i in range(h.nrows())])
    nothing = p.minimiser * 0
    w, off = [r.begin], [r.begin - p.minimiser]  # the coefficients of w and of w - w*

    def rest(k: int) -> fmpq_mat:
        """The coefficient of t^k in T w' that the others ask for."""
        before = h * off[k - 1] - pressed * w[k - 1] if k else nothing
        return w[k] * k - h * off[k] * r.time + before

    for k in range(TERMS):
        w.append(rest(k) / (r.time * (k + 1)))
        off.append(w[-1])
    left = (rest(TERMS), h * off[TERMS] - pressed * w[TERMS])
    found = []
    for share in MOMENTS:
        t = share * r.time
        value = nothing
        for coefficient in reversed(w):
            value = value * t + coefficient
        defect = sum((norm(x) * arb(t ** (TERMS + k)) for k, x in enumerate(left)), arb(0)) / arb(r.time - t)
        error = arb(t) * defect * arb(-1).union(arb(1))
        found.append((t, [arb(x) + error for x in value.entries()]))
    return found


def norm(v: fmpq_mat) -> arb:
    return arb(sum((x * x for x in v.entries()), fmpq(0))).sqrt()


def on_ramp(r: Ramped, statement: Statement, added: int) -> Verdict:
    """The distance to w(lambda) and the loss on the way; `added` times the term of another start than w*."""
    p = r.problem
    target = norm(p.target)
    spread = (1 + arb((p.coupling * p.coupling.transpose())[0, 0])).sqrt()  # one weight is kept
    bound = spread * arb(r.spectrum[-1] / r.spectrum[0]).sqrt() * target / arb(r.mu * r.time)
    final, h = arb(form(p.target, p.schur, p.target)).sqrt(), p.hessian
    decided = True
    for t, w in ramped(r):
        allowed = bound + added * norm(r.begin - p.minimiser) * (-arb(r.mu * t)).exp()
        aim = p.weights(r.scale * t / (r.time - t))
        lag = [x - y for x, y in zip(w, aim.entries(), strict=True)]
        distance = sum((x * x for x in lag), arb(0)).sqrt()
        v = [x - y for x, y in zip(w, p.minimiser.entries(), strict=True)]
        twice = sum((v[i] * arb(h[i, j]) * v[j] for i in range(len(v)) for j in range(len(v))), arb(0))
        most = final + arb(r.top).sqrt() * allowed
        if distance > allowed or twice.sqrt() > most:
            return False, f"t = {t}: distance {distance.str(6)}, bound {allowed.str(6)}; sqrt(2L) {twice.sqrt().str(6)}"
        decided = decided and bool(distance < allowed) and bool(twice.sqrt() < most)
    return (True, "") if decided else (None, "balls too wide")


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
        judged(
            "the hyperbolic ramp from w*", statement, INSTANCES, HYPOTHESES, partial(on_ramp, added=0),
            level=Level.CERTIFIED,
        ),
        judged(
            "the hyperbolic ramp from any start", statement, INSTANCES, ANY_START, partial(on_ramp, added=1),
            level=Level.CERTIFIED,
        ),
    ]  # fmt: skip


THEOREM = Theorem(
    id="peak-loss",
    catalogue="T7.10",
    title="What a ramp buys is a lower peak of the loss, not a better end point",
    statement=r"\lambda_{\min}(H_{mm})\ge\mu;\quad \text{from }w^*:\ "
    r"\mathrm{peak}_{\text{at once}}=\tfrac12w^{*\prime}_cH_{cc}w^*_c,\;"
    r"\mathrm{peak}_{\text{adiabatic}}=\tfrac12w^{*\prime}_cSw^*_c;\quad \lambda=\tfrac{\sigma t}{T-t}:\ "
    r"\|w(T)-w(\infty)\|\le e^{-\mu T}\|w(t_1)-w^*\|+\sqrt{1+\|B\|^2}\sqrt{\kappa_S}\,\|w^*_c\|/(\mu T)",
    source="interlacing: Cauchy; the rest not found in the literature",
    bound="tight",
    proof="(i) x'H_mm x = (x,0)'H(x,0) >= mu|x|^2. (ii) T6.1: L(w(lambda)) rises to w*_c'S w*_c/2; T6.7 bounds the "
    "ratio. (iii) lambda' = (lambda+sigma)^2/(sigma T) and |e'| per eigenvalue is s/(s+lambda)^2, so "
    "lambda'|e'| <= max(s/sigma, sigma/s)/T <= sqrt(kappa_S)/T; T7.2's comparison divides by mu and adds "
    "e^{-mu t}|w(t_1) - w*|. sqrt(2L(w)) "
    "is the H-norm of w - w*, at most that of e(lambda) - w* plus sqrt(L) times the error.",
    check=check,
    near_miss=Move("SHARE", "1e-6"),
    witness=lambda: witnessed(NATURAL, HYPOTHESES),
    assumptions={
        "spectrum": "H symmetric with spectrum in [mu, L], mu > 0",
        "natural-scale": "sigma^2 = s_min s_max of the Schur complement (for iii)",
        "trained": "pruning starts at w* (for ii, and for iii without the term of w(t_1))",
    },
    constants={"SHARE": "1"},
    depends_on=("growing-penalty-is-schur-ridge", "recoverable-fraction", "adiabatic-tracking"),
)
