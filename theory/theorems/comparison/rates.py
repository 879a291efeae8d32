r"""Rates as the noise vanishes, on one smooth signal: early stopping has the better exponent (simulated).

Statement
    s_i = i^{-2}, b_i = s_i^{2q} i^{-1.01}, i <= 20000: the best risk behaves as (σ²/n)^ρ with ρ = 4/5 ± 0.01 for early
    stopping and 4/7 ± 0.005 for ridge when 2q = 6.
Assumptions
    smooth: 2q = 6, above ridge's saturation at 2q = 2.
Source
    Engl, Hanke and Neubauer 1996; Li, Zhang and Lin 2023. The instance is the catalogue's.
Bound
    Simulated, not proved: slopes over eight decades of σ²/n; the largest deviation from one half of the range to the
    other is reported. The source condition with its factor i^{-1.01} predicts 6.005/7.505 = 0.80013 and 4/7.
Proof
    None. Heuristic: bias² t^{-6} (ridge: a²) against variance (σ²/n) t^{3/2}.
Evidence
    Simulated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
import scipy  # scipy.optimize takes half a second to load, so it is loaded at its first use

from unilth.theory.evidence import Drop, Evidence, Level, Statement, Theorem
from unilth.theory.verdicts import Verdict, judged, witnessed

EIGENVALUES = np.arange(1, 20_001.0) ** -2
NOISES = 10.0 ** -np.arange(10, 19, 2)
SMOOTHNESS = (6, 1)  # 2q; the second violates smooth
HYPOTHESES = {"smooth": lambda smoothness: smoothness == 6}


def best_risks(smoothness: int) -> np.ndarray:
    """ln of the best risk, shape (noise levels, 2): early stopping, ridge."""
    s = EIGENVALUES
    b = s**smoothness * np.arange(1, s.size + 1.0) ** -1.01
    rows = []
    for noise in NOISES:

        def risk(residual: np.ndarray, noise: float = noise) -> float:
            return float((b * residual**2 + noise / s * (1 - residual) ** 2).sum())

        tuned = []
        for residual in (lambda x: np.exp(-s * np.exp(x)), lambda x: 1 / (1 + s * np.exp(x))):
            grid = np.linspace(0, 24, 49)
            k = int(np.clip(np.argmin([risk(residual(x)) for x in grid]), 1, 47))
            found = scipy.optimize.minimize_scalar(
                lambda x, residual=residual: risk(residual(x)), bounds=(grid[k - 1], grid[k + 1]), method="bounded"
            )
            tuned.append(np.log(found.fun))
        rows.append(tuned)
    return np.array(rows)


@lru_cache
def exponents(smoothness: int) -> tuple[np.ndarray, np.ndarray]:
    """Exponents over the whole range, and their largest deviation from that of one half of it; both shape (2,)."""
    x, y = np.log(NOISES), best_risks(smoothness)
    middle = x.size // 2
    whole = (y[-1] - y[0]) / (x[-1] - x[0])
    halves = (y[middle] - y[0]) / (x[middle] - x[0]), (y[-1] - y[middle]) / (x[-1] - x[middle])
    return whole, np.max(np.abs(np.array(halves) - whole), axis=0)


def on_smoothness(smoothness: int, statement: Statement) -> Verdict:
    (stopping, ridge), error = exponents(smoothness)
    holds = bool(abs(stopping - 4 / 5) < 0.01 and abs(ridge - 4 / 7) < 0.005)
    return holds, f"2q={smoothness}: exponents {stopping:.4f} ± {error[0]:.4f} and {ridge:.4f} ± {error[1]:.4f}"


def check(statement: Statement) -> Sequence[Evidence]:
    verdict = judged("exponents", statement, SMOOTHNESS, HYPOTHESES, on_smoothness, level=Level.SIMULATED)
    return [replace(verdict, detail=verdict.detail or on_smoothness(SMOOTHNESS[0], statement)[1])]


THEOREM = Theorem(
    id="rates-on-a-smooth-signal",
    catalogue="T5.8b",
    title="On a smooth signal early stopping has the better exponent in the noise (simulated)",
    statement=r"s_i=i^{-2},\ b_i=s_i^6i^{-1.01}:\quad \min_tR_{\mathrm{ES}}\sim(\sigma^2/n)^{0.80},\qquad "
    r"\min_aR_{\mathrm{ridge}}\sim(\sigma^2/n)^{0.571}",
    source="Engl, Hanke and Neubauer 1996; Li, Zhang and Lin 2023; the instance is the catalogue's",
    bound="tight",
    proof="None: simulated over eight decades of the noise level, 20,000 eigenvalues.",
    check=check,
    near_miss=Drop("smooth"),
    witness=lambda: witnessed(SMOOTHNESS[0], HYPOTHESES),
    assumptions={"smooth": "b_i = s_i^6 i^{-1.01}"},
    depends_on=("saturation",),
)
