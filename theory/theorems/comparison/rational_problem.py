"""Early stopping against ridge on problems with rational data, decided exactly.

With rational eigenvalues the risk of early stopping is a polynomial in y = e^{-t/q} and the risk of ridge is a rational
function of u = 1/(1+a), both on [0, 1] and with rational coefficients. A floating-point search proposes a minimiser;
that nothing on the other curve is below the value found is then decided by counting real roots exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from math import gcd, lcm

import numpy as np
import scipy  # scipy.optimize takes half a second to load, so it is loaded at its first use
from sympy import Poly, Rational, Symbol

X = Symbol("x")


def nonnegative_on_unit_interval(polynomial: Poly, *, strict: bool) -> bool:
    """Whether the rational polynomial is >= 0 (strict: > 0) on all of [0, 1], by exact root counts."""
    if polynomial.is_zero:
        return not strict
    if strict:
        return bool(polynomial.eval(Rational(1, 2)) > 0 and polynomial.count_roots(0, 1) == 0)
    sign = 1 if polynomial.LC() > 0 else -1
    odd = Poly(1, X, domain="QQ")
    for factor, multiplicity in polynomial.sqf_list()[1]:
        if multiplicity % 2:
            odd = odd * factor  # even powers never change the sign
    odd = odd * (1 if odd.LC() > 0 else -1) * sign
    inside = odd.count_roots(0, 1) - (odd.eval(0) == 0) - (odd.eval(1) == 0)
    samples = [odd.eval(Rational(k, odd.degree() + 2)) for k in range(1, odd.degree() + 2)]
    return bool(inside == 0 and all(value >= 0 for value in samples))


@dataclass(frozen=True)
class Curve:
    """A risk Σ b_i r_i² + v_i (1-r_i)² = numerator/denominator on [0, 1], the denominator positive there."""

    numerator: Poly
    denominator: Poly

    def at(self, x: Fraction) -> Fraction:
        point = Rational(x.numerator, x.denominator)
        value = self.numerator.eval(point) / self.denominator.eval(point)
        return Fraction(int(value.p), int(value.q))

    def stays_above(self, level: Fraction, *, strict: bool = True) -> bool:
        """Whether the risk is > level (>= if not strict) for every parameter, both ends included; exact."""
        shifted = self.numerator - Rational(level.numerator, level.denominator) * self.denominator
        return nonnegative_on_unit_interval(shifted, strict=strict)

    def _polished(self, x: Fraction, digits: int = 30) -> Fraction:
        """Newton steps on the numerator of the derivative, rounded; `x` itself where they leave [0, 1]."""
        slope = self.numerator.diff() * self.denominator - self.numerator * self.denominator.diff()
        curvature, found = slope.diff(), x
        for _ in range(4):
            at = Rational(found.numerator, found.denominator)
            bend = curvature.eval(at)
            if bend == 0:
                return x
            step = slope.eval(at) / bend
            found = (found - Fraction(int(step.p), int(step.q))).limit_denominator(10**digits)
            if not 0 <= found <= 1:
                return x
        return found

    @cached_property
    def best(self) -> tuple[Fraction, Fraction]:
        """A rational parameter close to the minimiser and the exact risk there: an upper bound on the minimum."""
        top = [float(c) for c in self.numerator.all_coeffs()]
        bottom = [float(c) for c in self.denominator.all_coeffs()]

        def risk(x: float | np.ndarray) -> float | np.ndarray:
            return np.polyval(top, x) / np.polyval(bottom, x)

        grid = np.linspace(0.0, 1.0, 4001)
        k = int(np.argmin(risk(grid)))
        low, high = grid[max(k - 1, 0)], grid[min(k + 1, grid.size - 1)]
        found = scipy.optimize.minimize_scalar(risk, bounds=(low, high), method="bounded", options={"xatol": 1e-12}).x
        guesses = {Fraction(0), Fraction(1), self._polished(Fraction(found)), Fraction(found).limit_denominator(64)}
        return min(((guess, self.at(guess)) for guess in guesses), key=lambda found: found[1])


@dataclass(frozen=True)
class RationalProblem:
    """Least squares in its eigenbasis: eigenvalues s_i > 0 of X'X/n, b_i = (q_i'β0)² and noise = σ²/n, all rational.

    Equal eigenvalues may be merged: b_i is then the sum over them and `multiplicity` their number. `prediction` weighs
    the coordinates of the risk by s_i (in-sample prediction) instead of 1 (estimation).
    """

    eigenvalues: tuple[Fraction, ...]
    signal: tuple[Fraction, ...]
    noise: Fraction = Fraction(1)
    prediction: bool = False
    multiplicity: tuple[int, ...] = ()

    @classmethod
    def of(
        cls, eigenvalues: str, signal: str, noise: str = "1", *, prediction: bool = False, multiplicity: str = ""
    ) -> RationalProblem:
        """From strings of blank-separated rationals."""
        s, b = (tuple(Fraction(token) for token in text.split()) for text in (eigenvalues, signal))
        return cls(s, b, Fraction(noise), prediction, tuple(int(token) for token in multiplicity.split()))

    def __post_init__(self) -> None:
        if len(self.eigenvalues) != len(self.signal) or not self.eigenvalues:
            raise ValueError(
                f"signal has {len(self.signal)} entries for {len(self.eigenvalues)} eigenvalues; give one each"
            )
        if list(self.eigenvalues) != sorted(self.eigenvalues) or self.eigenvalues[0] <= 0:
            raise ValueError(f"eigenvalues are {self.eigenvalues}; give positive ones in increasing order")

    def __str__(self) -> str:
        s, b, m = (", ".join(map(str, values)) for values in (self.eigenvalues, self.signal, self.multiplicity))
        ending = (f", multiplicity ({m})" if m else "") + (", prediction risk" if self.prediction else "")
        return f"s=({s}), β²=({b}), σ²/n={self.noise}{ending}"

    @property
    def variance(self) -> tuple[Fraction, ...]:
        """v_i = σ²/(n s_i), times the multiplicity."""
        times = self.multiplicity or (1,) * len(self.eigenvalues)
        return tuple(m * self.noise / s for s, m in zip(self.eigenvalues, times, strict=True))

    @property
    def snr(self) -> tuple[Fraction, ...]:
        """SNR_i = b_i/v_i; needs noise."""
        return tuple(b / v for b, v in zip(self.signal, self.variance, strict=True))

    def _curve(self, residuals: list[tuple[Poly, Poly]]) -> Curve:
        one = Poly(1, X, domain="QQ")
        denominator = one
        for _, bottom in residuals:
            denominator = denominator * bottom**2
        numerator = Poly(0, X, domain="QQ")
        for (top, bottom), s, b, v in zip(residuals, self.eigenvalues, self.signal, self.variance, strict=True):
            weight = s if self.prediction else Fraction(1)
            b, v = (Rational((weight * c).numerator, (weight * c).denominator) for c in (b, v))
            term = b * top**2 + v * (bottom - top) ** 2
            numerator = numerator + term * denominator.quo(bottom**2)
        return Curve(numerator, denominator)

    @cached_property
    def flow(self) -> Curve:
        """Risk of early stopping in y = e^{-t/q}, q making every exponent s_i q an integer: r_i = y^{s_i q}."""
        scale = lcm(*(s.denominator for s in self.eigenvalues))
        exponents = [int(s * scale) for s in self.eigenvalues]
        common = gcd(*exponents)
        one = Poly(1, X, domain="QQ")
        return self._curve([(Poly(X, X, domain="QQ") ** (e // common), one) for e in exponents])

    @cached_property
    def ridge(self) -> Curve:
        """Risk of ridge in u = 1/(1+a) on [0, 1]: r_i = a/(s_i+a) = (1-u)/(1+(s_i-1)u)."""
        x = Poly(X, X, domain="QQ")
        return self._curve([(1 - x, 1 + (Rational(s.numerator, s.denominator) - 1) * x) for s in self.eigenvalues])

    @cached_property
    def winner(self) -> str | None:
        """ "flow" or "ridge" if its best risk is strictly smaller, "tie" if both are equal, None if not decided."""
        flow, ridge = self.flow.best[1], self.ridge.best[1]
        if ridge < flow and self.flow.stays_above(ridge):
            return "ridge"
        if flow < ridge and self.ridge.stays_above(flow):
            return "flow"
        if flow == ridge and self.flow.stays_above(ridge, strict=False) and self.ridge.stays_above(flow, strict=False):
            return "tie"
        return None


def has_noise(problem: RationalProblem) -> bool:
    return problem.noise > 0


def has_two_eigenvalues(problem: RationalProblem) -> bool:
    return len(set(problem.eigenvalues)) >= 2


def has_signal(problem: RationalProblem) -> bool:
    return any(b > 0 for b in problem.signal)


def signal_nonincreasing(problem: RationalProblem) -> bool:
    """|β_i| nonincreasing in s_i, that is, Wiener effective penalty σ²/(n b_i) nondecreasing."""
    return all(first >= second for first, second in pairwise(problem.signal))


def time_nondecreasing(problem: RationalProblem) -> bool:
    """Wiener effective time ln(1+SNR_i)/s_i nondecreasing, compared exactly: (1+SNR_i)^{s_j} <= (1+SNR_j)^{s_i}."""
    if problem.noise == 0:
        return all(b > 0 for b in problem.signal)  # every t*_i is infinite
    scale = lcm(*(s.denominator for s in problem.eigenvalues))
    pairs = [(int(s * scale), 1 + snr) for s, snr in zip(problem.eigenvalues, problem.snr, strict=True)]
    return all(low**sj <= high**si for (si, low), (sj, high) in pairwise(pairs))
