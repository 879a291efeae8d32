"""Risk ratios of gradient flow over ridge(1), one eigen-direction at a time; x = eigenvalue over penalty.

Risks of spectral filters are sums over directions, so a ratio of risks is a weighted mean of these three: of the bias
terms, of the variance terms, and (isotropic prior) of both together in their Bayes proportion 1 : 1/x.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from flint import arb

from unilth.theory.certify import Bracket, ball, claimed, infimum, supremum
from unilth.theory.evidence import Evidence, Level

Curve = Callable[[Any, Any], Any]


def bias(t: Any, x: Any) -> Any:
    """Squared residual of gradient flow at time t over that of ridge(1)."""
    return (-2 * t * x).exp() * (1 + x) ** 2


def variance(t: Any, x: Any) -> Any:
    """Squared filter of gradient flow at time t over that of ridge(1)."""
    return ((1 - (-t * x).exp()) * (1 + x) / x) ** 2


def bayes(t: Any, x: Any) -> Any:
    """Bayes risk of gradient flow at time t over that of ridge(1) under an isotropic prior with penalty 1 optimal."""
    return (1 + x) * ((-2 * t * x).exp() + (1 - (-t * x).exp()) ** 2 / x)


def mixed(curve: Curve, times: Sequence[tuple[arb, arb]]) -> Callable[[Any], Any]:
    """x -> sum of weight * curve(t, x) over (weight, t): the statistician plays a random stopping time."""

    def value(x: Any) -> Any:
        parts = [weight * curve(t, x) for weight, t in times]
        return sum(parts[1:], parts[0])

    return value


def game_value(
    name: str,
    claim: str,
    plays: Sequence[tuple[Callable[[Any], Any], str, str]],
    against: Callable[[Any], Any],
    last: str,
) -> list[Evidence]:
    """Both sides of a zero-sum game's value: sup over problems of the statistician's mix, inf over t of nature's mix.

    `plays` are (function of x, lo, hi); `against` is a function of t, searched on [0, last].
    """
    tops = [supremum(f, lo, hi, "1e-13") for f, lo, hi in plays]
    best = infimum(against, 0, last, "1e-13")
    if best is None or any(top is None for top in tops):
        return [Evidence(f"value of the game {name}", Level.CERTIFIED, None, "both sides", "boxes ran out")]
    upper = max((top[0] for top in tops if top is not None), key=lambda b: ball(b.upper).mid())
    both = Bracket(best[0].lower, upper.upper)
    domain = "; ".join(f"[{lo}, {hi}]" for _, lo, hi in plays)
    return [
        claimed(f"{name}: the worst problem against two stopping times", upper, claim, name, f"x in {domain}, tails"),
        claimed(f"{name}: the best stopping time against one problem", best[0], claim, name, f"t in [0, {last}], tail"),
        claimed(f"{name}: both sides together", both, claim, name, "all problems, all stopping times"),
    ]
