"""Nesterov's residual 2 J_1(z)/z in balls, on series too, so that it can be differentiated."""

from __future__ import annotations

from typing import Any

from flint import arb, arb_series


def bessel(order: int, z: Any) -> Any:
    """J_order(z) for a ball, or for a series of length 2 by J' = (J_{order-1} - J_{order+1})/2."""
    if isinstance(z, arb_series):
        at = z[0]
        slope = (at.bessel_j(arb(order - 1)) - at.bessel_j(arb(order + 1))) / 2
        return arb_series([at.bessel_j(arb(order)), slope * z[1]], prec=2)
    return z.bessel_j(arb(order))


def residual(z: Any) -> Any:
    """2 J_1(z)/z for z > 0."""
    return 2 * bessel(1, z) / z


def effective(z: Any) -> Any:
    """x = z^2/8 = s/a with the effective penalty a = 8/t^2."""
    return z * z / 8
