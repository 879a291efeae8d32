"""Section 5 against independent computations: brute force, Lambert's function, plain loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq, minimize_scalar
from scipy.special import lambertw

from unilth.theory.theorems.comparison import THEOREMS, patience, trichotomy
from unilth.theory.theorems.comparison.rational_problem import RationalProblem


def best_risks(snr: float, kappa: float, first: float = 1.0) -> tuple[float, float]:
    """Best risks of early stopping and of ridge for eigenvalues (1, kappa), SNR (first, snr), in floating point."""
    s, v = np.array([1, kappa]), np.array([1, 1 / kappa])
    b = np.array([first, snr]) * v
    found = []
    for residual in (lambda x: np.exp(-np.exp(x) * s), lambda x: 1 / (1 + np.exp(x) * s)):

        def risk(x: float, residual=residual) -> float:
            return float((b * residual(x) ** 2 + v * (1 - residual(x)) ** 2).sum())

        grid = np.linspace(-8, 8, 400)
        k = int(np.clip(np.argmin([risk(x) for x in grid]), 1, 398))
        found.append(minimize_scalar(risk, bounds=(grid[k - 1], grid[k + 1]), method="bounded").fun)
    return found[0], found[1]


def test_switch_by_brute_force() -> None:
    def gap(snr: float) -> float:
        stopped, ridge = best_risks(snr, 2)
        return ridge - stopped

    assert brentq(gap, 2, 3, xtol=1e-9) == pytest.approx(float(trichotomy.THEOREM.constants["SWITCH"]), abs=1e-4)


@settings(max_examples=10, deadline=None)
@given(st.floats(1.2, 4), st.floats(0.2, 4))
def test_difference_increases_between_the_regions(kappa: float, first: float) -> None:
    """The uniqueness part of the trichotomy on random problems: the difference of the minima increases in SNR_2."""
    snr = np.linspace(kappa * first, (1 + first) ** kappa - 1, 12)
    gaps = [ridge - stopped for stopped, ridge in (best_risks(x, kappa, first) for x in snr)]
    assert np.all(np.diff(gaps) > -1e-9)
    assert gaps[0] < 1e-9 and gaps[-1] > -1e-9


def test_threshold_by_lambert() -> None:
    y = -2 / lambertw(-2 * np.exp(-2), 0).real - 1
    theorem = next(t for t in THEOREMS if t.catalogue == "T5.7")
    assert y == pytest.approx(float(theorem.constants["Y1"]), rel=1e-11)


def test_patience_by_a_plain_loop() -> None:
    """A loop with patience on the exact validation risk stops at the local minimum; with long patience it does not."""
    s = np.array([1.0] * 300 + [0.001])
    b, v = np.array([0.01] * 300 + [100]), 0.01 / s

    def loop(wait: int, step: float = 0.05) -> float:
        best, since, k = np.inf, 0, 0
        while since <= wait:
            residual = np.exp(-s * step * k)
            risk = float((b * residual**2 + v * (1 - residual) ** 2).sum())
            best, since = (risk, 0) if risk < best else (best, since + 1)
            k += 1
        return best

    assert loop(145) == pytest.approx(float(patience.THEOREM.constants["STOPPED"]), abs=1e-3)
    assert loop(400) == pytest.approx(float(patience.THEOREM.constants["BEST"]), abs=1e-3)


def test_prediction_risk_is_another_comparison() -> None:
    """Weights change the numbers, not the order hypotheses: the crossing theorem covers both risks."""
    estimation, prediction = (RationalProblem.of("1 2", "1 3/2", prediction=p) for p in (False, True))
    assert estimation.flow.best[1] != prediction.flow.best[1]
    assert estimation.winner == prediction.winner == "flow"
