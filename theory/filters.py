"""Spectral filters: every linear way of not going all the way to the minimiser, as rows of one table.

An estimator that multiplies the i-th eigen-component of (minimiser - start) by g(s_i) is a filter g with residual r =
1-g. Gradient descent, gradient flow, ridge, iterated Tikhonov, heavy ball and Nesterov's flow are rows of `TABLE`;
risk, degrees of freedom and comparisons are written once, for any row (catalogue, notation and T1.1, T1.3, T2.3,
T4.3, T4.4).

Residual and gain are each computed without cancellation: both are accurate relatively, however small.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy  # lazily: scipy.special takes a third of a second, and only Nesterov needs it
from numpy.typing import ArrayLike, NDArray

from unilth.errors import UserError

Array = NDArray[np.float64]
# (eigenvalues, parameter, setting) -> values; the first two broadcast
Formula = Callable[[Array, Array, float], Array]


@dataclass(frozen=True)
class Row:
    """One family of filters. `parameter` is what is tuned, `setting` a number fixed beforehand ("" if there is none).

    `flat(parameter, setting)` is the ridge penalty that the filter amounts to as the eigenvalue goes to 0.
    """

    name: str
    parameter: str
    setting: str
    formula: str
    residual: Formula
    gain: Formula
    flat: Callable[[Array, float], Array]


@dataclass(frozen=True)
class Filter:
    """A row of the table with its setting: a filter with one parameter left.

    Every method takes eigenvalues (d,) >= 0 and a parameter >= 0 of any shape (p...) and returns (p..., d), or (p...)
    where it sums over eigenvalues. Steps are integers. Raises UserError on negative or non-finite eigenvalues and on
    parameters below 0.
    """

    row: Row
    setting: float = 0.0

    def __post_init__(self) -> None:
        if self.row.setting and not (np.isfinite(self.setting) and self.setting > 0):
            raise UserError(f"{self.row.setting} of {self.row.name} is {self.setting}; give a finite number > 0")

    @property
    def name(self) -> str:
        return self.row.name

    @property
    def parameter(self) -> str:
        """What is tuned: "time", "steps" or "penalty"."""
        return self.row.parameter

    def residual(self, eigenvalues: ArrayLike, parameter: ArrayLike) -> Array:
        """r(s), shape (p..., d): the share of the start's distance to the minimiser that is left; 1 where s is 0."""
        s, p = self._arguments(eigenvalues, parameter)
        with np.errstate(all="ignore"):  # 0 x inf at the ends of the ranges; those entries are replaced
            return np.where(s == 0, 1.0, self.row.residual(s, p, self.setting))

    def gain(self, eigenvalues: ArrayLike, parameter: ArrayLike) -> Array:
        """g(s) = 1 - r(s), shape (p..., d): the share of the way that was gone; 0 where s is 0."""
        s, p = self._arguments(eigenvalues, parameter)
        with np.errstate(all="ignore"):
            return np.where(s == 0, 0.0, self.row.gain(s, p, self.setting))

    def effective_penalty(self, eigenvalues: ArrayLike, parameter: ArrayLike) -> Array:
        """The ridge penalty a with a/(s+a) = r(s), shape (p..., d): s r/(1-r), and its limit where s is 0 (T1.3).

        Negative where the residual is; infinite where the filter has not moved.
        """
        s, p = self._arguments(eigenvalues, parameter)
        with np.errstate(all="ignore"):
            tilted = s * self.row.residual(s, p, self.setting) / self.row.gain(s, p, self.setting)
            return np.where(s == 0, self.row.flat(p, self.setting), tilted)

    def degrees_of_freedom(self, eigenvalues: ArrayLike, parameter: ArrayLike) -> Array:
        """Sum of the gains, shape (p...): the trace of the smoother matrix."""
        return self.gain(eigenvalues, parameter).sum(-1)

    def _arguments(self, eigenvalues: ArrayLike, parameter: ArrayLike) -> tuple[Array, Array]:
        s, p = np.asarray(eigenvalues, float), np.asarray(parameter, float)[..., None]
        if s.ndim != 1 or not (np.isfinite(s).all() and (s >= 0).all()):
            raise UserError(
                f"eigenvalues have shape {s.shape} and least value {s.min(initial=0)}; give (d,), finite, >= 0"
            )
        if not (p >= 0).all():
            raise UserError(f"{self.parameter} has the value {p.min()}; give values >= 0")
        if self.parameter == "steps" and not (p == np.floor(p)).all():
            raise UserError(f"{self.parameter} has a value that is not whole; give whole numbers")
        return s, p


def _log_factor(u: Array) -> Array:
    """log|1-u| for u >= 0 without cancellation near 0 and near 2."""
    return np.where(u < 1, np.log1p(-np.minimum(u, 1.0)), np.log1p(np.maximum(u, 1.0) - 2.0))


def _descent_exponent(s: Array, k: Array, step: float) -> tuple[Array, Array]:
    """k log|1 - step s|, and whether (1 - step s)^k is negative."""
    u = step * s
    exponent = np.where(k == 0, 0.0, k * _log_factor(u))
    return exponent, (u > 1) & (k % 2 == 1)


def _descent_residual(s: Array, k: Array, step: float) -> Array:
    exponent, negative = _descent_exponent(s, k, step)
    return np.where(negative, -1.0, 1.0) * np.exp(exponent)


def _descent_gain(s: Array, k: Array, step: float) -> Array:
    exponent, negative = _descent_exponent(s, k, step)
    return np.where(negative, 1.0 + np.exp(exponent), -np.expm1(exponent))


def _nesterov_residual(s: Array, t: Array, _: float) -> Array:
    z = t * np.sqrt(s)
    return np.where(z == 0, 1.0, np.where(z == np.inf, 0.0, 2 * scipy.special.j1(z) / z))


def _nesterov_gain(s: Array, t: Array, setting: float) -> Array:
    quarter = t * t * s / 4
    small = np.minimum(quarter, 1.0)
    # sum over m >= 1 of (-1)^(m+1) (z/2)^(2m) / (m! (m+1)!), from the small end
    series = np.zeros_like(small)
    for m in range(12, 0, -1):
        series = small / (m * (m + 1)) * (1 - series)
    return np.where(quarter < 1, series, 1 - _nesterov_residual(s, t, setting))


def _heavy_ball_residual(s: Array, t: Array, damping: float) -> Array:
    nu = np.sqrt(np.maximum(damping**2 - s, 0))
    omega = np.sqrt(np.maximum(s - damping**2, 0))
    swing = np.exp(-damping * t) * (np.cos(omega * t) + damping * t * np.sinc(omega * t / np.pi))
    slow = s / (damping + nu)  # damping - nu without cancellation
    creep = np.exp(-slow * t) * (1 + slow * _rise(nu, t))
    return np.where(t == np.inf, 0.0, np.where(s > damping**2, swing, creep))


def _rise(nu: Array, t: Array) -> Array:
    """(1 - e^(-2 nu t)) / (2 nu), which is t where nu is 0."""
    return np.where(nu > 0, -np.expm1(-2 * nu * t) / (2 * np.where(nu > 0, nu, 1.0)), t)


def _heavy_ball_gain(s: Array, t: Array, damping: float) -> Array:
    m, q = damping * t, s * t * t
    early = (m < 1) & (q < 1)
    # power series of the solution of x'' + 2 m x' + q x = 0, x(0) = 1, x'(0) = 0, at 1: the terms from the second on
    m, q = np.where(early, m, 0.0), np.where(early, q, 0.0)
    before, last, series = np.ones_like(q), np.zeros_like(q), np.zeros_like(q)
    for j in range(30):
        before, last = last, -(2 * m * (j + 1) * last + q * before) / ((j + 1) * (j + 2))
        series = series - last
    nu = np.sqrt(np.maximum(damping**2 - s, 0))
    slow = s / (damping + nu)
    creep = -np.expm1(-slow * t) - slow * np.exp(-slow * t) * _rise(nu, t)
    late = np.where((s > damping**2) | (t == np.inf), 1 - _heavy_ball_residual(s, t, damping), creep)
    return np.where(early, series, late)


def _heavy_ball_flat(t: Array, damping: float) -> Array:
    x = 2 * damping * t
    # (x - 1 + e^-x) / x^2, by its series where the difference would cancel
    small = np.minimum(x, 0.1)
    series = sum(
        ((-small) ** j / float(np.prod(np.arange(1, j + 3, dtype=float))) for j in range(8)), np.zeros_like(small)
    )
    ratio = np.where(x < 0.1, series, (x + np.expm1(-x)) / x**2)
    return 1 / np.where(t == np.inf, np.inf, t * t * ratio)


TABLE = (
    Row(
        "gradient descent",
        "steps",
        "step",
        r"(1-\varepsilon s)^k",
        _descent_residual,
        _descent_gain,
        lambda k, step: 1 / (step * k),
    ),
    Row(
        "gradient flow",
        "time",
        "",
        r"e^{-ts}",
        lambda s, t, _: np.exp(-t * s),
        lambda s, t, _: -np.expm1(-t * s),
        lambda t, _: 1 / t,
    ),
    Row(
        "ridge",
        "penalty",
        "",
        r"\frac{a}{s+a}",
        lambda s, a, _: 1 / (1 + s / a),
        lambda s, a, _: s / (s + a),
        lambda a, _: a,
    ),
    Row(
        "iterated Tikhonov",
        "penalty",
        "iterations",
        r"\left(\frac{a}{s+a}\right)^k",
        lambda s, a, k: np.exp(-k * np.log1p(s / a)),
        lambda s, a, k: -np.expm1(-k * np.log1p(s / a)),
        lambda a, k: a / k,
    ),
    Row(
        "heavy ball",
        "time",
        "damping",
        r"e^{-\mu t}\left(\cos\omega t+\tfrac{\mu}{\omega}\sin\omega t\right),\ \omega^2=s-\mu^2",
        _heavy_ball_residual,
        _heavy_ball_gain,
        _heavy_ball_flat,
    ),
    Row(
        "Nesterov",
        "time",
        "",
        r"\frac{2J_1(t\sqrt s)}{t\sqrt s}",
        _nesterov_residual,
        _nesterov_gain,
        lambda t, _: 8 / t**2,
    ),
)


def filter_named(name: str, setting: float | None = None) -> Filter:
    """The filter of a row by its name, with its setting (step, iterations or damping) where the row has one."""
    for row in TABLE:
        if row.name == name:
            if bool(row.setting) != (setting is not None):
                need = f"give its {row.setting}" if row.setting else "it has no setting, give none"
                raise UserError(f"setting of {name} is {setting}; {need}")
            return Filter(row, 0.0 if setting is None else setting)
    raise UserError(f"filter {name!r} is unknown; give one of {', '.join(row.name for row in TABLE)}")


def gradient_descent(step: float) -> Filter:
    """k steps of size `step` (inverse unit of the eigenvalues); parameter: steps."""
    return filter_named("gradient descent", step)


def iterated_tikhonov(iterations: float) -> Filter:
    """Ridge applied `iterations` times to what is left: implicit Euler; parameter: the penalty of each."""
    return filter_named("iterated Tikhonov", iterations)


def heavy_ball(damping: float) -> Filter:
    """x'' + 2 damping x' + s x = 0 from rest; parameter: time."""
    return filter_named("heavy ball", damping)


GRADIENT_FLOW = filter_named("gradient flow")
RIDGE = filter_named("ridge")
NESTEROV = filter_named("Nesterov")
