r"""Heavy ball as a filter, and its effective time, linear and not quadratic (catalogue T4.4).

Statement: x'' + 2\mu x' + s x = 0 from rest at 1 has x = e^{-\mu t}(cos \omega t + (\mu/\omega) sin \omega t),
    \omega^2 = s - \mu^2 (cosh and sinh if s < \mu^2, e^{-\mu t}(1+\mu t) if s = \mu^2). For small s the residual is
    1 - s\phi(t) + O(s^2), \phi = t/(2\mu) - (1-e^{-2\mu t})/(4\mu^2): the effective time tends to t/(2\mu).
Assumptions: \mu > 0.
Source: folklore.
Bound: identity.
Proof: insert; \phi solves \phi'' + 2\mu\phi' = 1 from rest.
Evidence: SymPy; instances in balls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import sympy
from flint import arb

from unilth.theory.balls import precision
from unilth.theory.certify import ball
from unilth.theory.evidence import Drop, Evidence, Level, Statement, Theorem
from unilth.theory.verdicts import Verdict, judged, shown, witnessed

LATE = 10**5
EVERY = "all t, mu > 0 (SymPy)"


@dataclass(frozen=True)
class Damped:
    """A damping mu of any sign."""

    damping: Fraction

    def __str__(self) -> str:
        return f"mu = {self.damping}"

    def effective_time(self, t: Fraction) -> arb:
        """phi(t), the solution of phi'' + 2 mu phi' = 1 from rest."""
        if self.damping == 0:
            return ball(t * t / 2)
        m = ball(self.damping)
        return ball(t) / (2 * m) + (-2 * m * ball(t)).expm1() / (4 * m * m)


INSTANCES = tuple(Damped(Fraction(x)) for x in ("1/10", "1", "7/2", "0", "-1/100"))
HYPOTHESES: dict[str, Callable[[Damped], bool]] = {"damped": lambda d: d.damping > 0}


def on_instance(d: Damped, statement: Statement) -> Verdict:
    """phi at a late time against SHARE t/mu, to one part in a thousand; and linear growth."""
    with precision():
        one, two = (d.effective_time(Fraction(t)) for t in (LATE, 2 * LATE))
        claimed = ball(statement.exact("SHARE")) * LATE
        off = abs(one * ball(d.damping) - claimed) / claimed
        linear = abs(two / one - 2)
        detail = f"phi(t) mu / (t SHARE) is off by {off.str(5)}, phi(2t)/phi(t) by {linear.str(5)} from 2, t = {LATE}"
        if off > ball("1/1000") or linear > ball("1/1000"):
            return False, detail
        return (True if off < ball("1/1000") and linear < ball("1/1000") else None), detail


def first_order(t: sympy.Symbol, mu: sympy.Symbol) -> sympy.Expr:
    """phi(t) in symbols."""
    return t / (2 * mu) - (1 - sympy.exp(-2 * mu * t)) / (4 * mu**2)


@cache
def forms() -> tuple[Evidence, ...]:
    """The three forms of the solution and the first order in s."""
    t, mu, w, n = sympy.symbols("t mu omega nu", positive=True)

    def solves(x: sympy.Expr, stiffness: sympy.Expr) -> bool:
        motion = sympy.diff(x, t, 2) + 2 * mu * sympy.diff(x, t) + stiffness * x
        rest = sympy.diff(x, t).subs(t, 0), x.subs(t, 0) - 1
        return sympy.simplify(sympy.expand(motion * sympy.exp(mu * t))) == 0 and all(
            sympy.simplify(e) == 0 for e in rest
        )

    swinging = sympy.exp(-mu * t) * (sympy.cos(w * t) + mu / w * sympy.sin(w * t))
    growth, decay = sympy.exp(n * t), sympy.exp(-n * t)
    creeping = sympy.exp(-mu * t) * ((growth + decay) / 2 + mu / n * (growth - decay) / 2)
    critical = sympy.exp(-mu * t) * (1 + mu * t)
    phi = first_order(t, mu)
    driven = sympy.expand(sympy.diff(phi, t, 2) + 2 * mu * sympy.diff(phi, t) - 1)
    rest = phi.subs(t, 0), sympy.diff(phi, t).subs(t, 0)
    early = sympy.limit(phi / t**2, t, 0)
    return (
        shown("s > mu^2: it swings and solves the equation from rest", solves(swinging, w**2 + mu**2), EVERY),
        shown("s < mu^2: it creeps and solves the equation from rest", solves(creeping, mu**2 - n**2), EVERY),
        shown("s = mu^2: e^{-mu t}(1+mu t) solves it from rest", solves(critical, mu**2), EVERY),
        shown("the first order in s: phi'' + 2 mu phi' = 1 from rest", driven == 0 and rest == (0, 0), EVERY),
        shown("only early is it quadratic, t^2/2", early == sympy.Rational(1, 2), EVERY),
    )


def check(statement: Statement) -> Sequence[Evidence]:
    t, mu = sympy.symbols("t mu", positive=True)
    late = sympy.limit(first_order(t, mu) * mu / t, t, sympy.oo)
    share = sympy.Rational(*statement.exact("SHARE").as_integer_ratio())
    return [
        *forms(),
        shown("phi mu/t tends to SHARE", late == share, EVERY, f"the limit is {late}"),
        judged("phi at a late time", statement, INSTANCES, HYPOTHESES, on_instance, level=Level.CERTIFIED),
    ]


THEOREM = Theorem(
    id="heavy-ball",
    catalogue="T4.4",
    title="Heavy ball as a filter: its effective time is t/(2 mu), linear in t",
    statement=r"r=e^{-\mu t}\big(\cos\omega t+\tfrac\mu\omega\sin\omega t\big),\ \omega^2=s-\mu^2;\quad "
    r"r=1-s\,\phi(t)+O(s^2),\ \phi=\tfrac t{2\mu}-\tfrac{1-e^{-2\mu t}}{4\mu^2}\sim\tfrac t{2\mu}",
    source="folklore",
    bound="identity",
    proof="Insert the three forms. With r = 1 - s phi + O(s^2), the terms of first order in s give phi'' + 2 mu phi' "
    "= 1, phi(0) = phi'(0) = 0.",
    check=check,
    near_miss=Drop("damped"),
    witness=lambda: witnessed(INSTANCES[1], HYPOTHESES),
    assumptions={"damped": "mu > 0"},
    constants={"SHARE": "1/2"},
)
