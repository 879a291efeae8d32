r"""The Wiener identity: every filter's risk is its distance to one point.

Statement
    A filter g applied to noisy coordinates has risk Σ b_i(1-g_i)² + v_i g_i²
    = Σ b_i v_i/(b_i+v_i) + Σ (b_i+v_i)(g_i - g*_i)², g* = SNR/(1+SNR). Ridge reaches the Wiener point with penalty
    a*_i = σ²/(n b_i) and by early stopping at t*_i = ln(1+SNR_i)/s_i, direction by direction. WEIGHT is the factor of
    b_i + v_i.
Assumptions
    centred: the noise has mean 0. noise: v_i > 0.
Source
    Folklore (Wiener filter); completing the square.
Bound
    Identity.
Proof
    E(g(β+ε)-β)² = (1-g)²β² + g²v when Eε = 0; complete the square in g.
Evidence
    Symbolic per direction (any number of directions by summation), and exact expectations over finite noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import sympy as sp

from unilth.theory.evidence import Evidence, Move, Statement, Theorem
from unilth.theory.verdicts import Verdict, judged, shown, witnessed


@dataclass(frozen=True)
class Direction:
    """One coordinate β seen through noise that takes each value of `atoms` with equal probability, and a filter g."""

    beta: Fraction
    atoms: tuple[Fraction, ...]
    g: Fraction

    def mean(self, power: int) -> Fraction:
        return sum((e**power for e in self.atoms), Fraction(0)) / len(self.atoms)

    @property
    def risk(self) -> Fraction:
        """E(g(β+ε)-β)², summed over the atoms."""
        return sum(((self.g * (self.beta + e) - self.beta) ** 2 for e in self.atoms), Fraction(0)) / len(self.atoms)


def _direction(beta: str, atoms: str, g: str) -> Direction:
    return Direction(Fraction(beta), tuple(Fraction(e) for e in atoms.split()), Fraction(g))


INSTANCES = (
    _direction("2", "1 -1", "1/3"),
    _direction("-1/2", "2 -1 -1", "5/4"),
    _direction("0", "1 -1", "1/7"),
    _direction("2", "1 1", "1/3"),  # violates centred
    _direction("0", "0 0", "1/2"),  # violates noise
)
HYPOTHESES = {"centred": lambda d: d.mean(1) == 0, "noise": lambda d: d.mean(2) > 0}


def on_direction(direction: Direction, statement: Statement) -> Verdict:
    b, v = direction.beta**2, direction.mean(2)
    if v == 0:
        return False, f"{direction}: SNR = b/v is undefined"
    snr = b / v
    distance = statement.exact("WEIGHT") * (b + v) * (direction.g - snr / (1 + snr)) ** 2
    claimed = b * v / (b + v) + distance
    return direction.risk == claimed, f"{direction}: risk {direction.risk}, claimed {claimed}"


def check(statement: Statement) -> Sequence[Evidence]:
    b, v, s, noise = sp.symbols("b v s nu", positive=True)
    g = sp.Symbol("g", real=True)
    weight, snr = sp.Rational(statement.value("WEIGHT")), b / v
    gap = b * (1 - g) ** 2 + v * g**2 - (b * v / (b + v) + weight * (b + v) * (g - snr / (1 + snr)) ** 2)
    penalty = s / (s + noise / b) - (snr / (1 + snr)).subs(v, noise / s)
    time = 1 - sp.exp(-s * (sp.log(1 + snr) / s)) - snr / (1 + snr)
    every = "all b, v, s > 0 and all real g"
    return [
        shown("risk minus its completed square", sp.simplify(gap) == 0, every, f"residual {sp.factor(gap)}"),
        shown("ridge with a* = σ²/(n b) is the Wiener filter", sp.simplify(penalty) == 0, every),
        shown("early stopping at t* = ln(1+SNR)/s is the Wiener filter", sp.simplify(time) == 0, every),
        judged("exact expectations over finite noise", statement, INSTANCES, HYPOTHESES, on_direction),
    ]


THEOREM = Theorem(
    id="wiener-identity",
    catalogue="T5.1",
    title="Every filter's risk is a constant plus its weighted distance to the Wiener filter",
    statement=r"\sum_i b_i(1-g_i)^2+v_ig_i^2=\sum_i\frac{b_iv_i}{b_i+v_i}+\sum_i(b_i+v_i)(g_i-g_i^*)^2,\quad "
    r"g^*=\frac{\mathrm{SNR}}{1+\mathrm{SNR}},\quad a_i^*=\frac{\sigma^2}{nb_i},\quad "
    r"t_i^*=\frac{\ln(1+\mathrm{SNR}_i)}{s_i}",
    source="folklore (Wiener filter)",
    bound="identity",
    proof="E(g(β+ε)-β)² = (1-g)²β² + g²v when Eε=0; complete the square in g.",
    check=check,
    near_miss=Move("WEIGHT"),
    witness=lambda: witnessed(INSTANCES[0], HYPOTHESES),
    assumptions={"centred": "the noise has mean 0", "noise": "the noise has positive variance in the direction"},
    constants={"WEIGHT": "1"},
)
