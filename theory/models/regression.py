"""Exact risk of any spectral filter in fixed-design least squares (catalogue, notation; T2.2, T3.1, T5.1).

y = X beta + noise, X (n, p), S = X'X/n with eigenvalues s_i and eigenvectors q_i, start at 0. A filter with residual
r has

    estimation risk   sum_i b_i r_i^2 + v_i (1-r_i)^2,   b_i = (q_i'beta)^2,  v_i = sigma^2/(n s_i),

the in-sample prediction risk has the same terms times s_i, and Bayes risk has E b_i for b_i. Directions without data
(s_i = 0) keep their bias and have no variance, so p > n is no special case.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy  # scipy.optimize takes half a second to load, so it is loaded at its first use
from numpy.typing import ArrayLike, NDArray

from unilth.errors import UserError
from unilth.theory.filters import Filter
from unilth.theory.models.quadratic import decompose

Array = NDArray[np.float64]
Kind = Literal["estimation", "prediction"]


@dataclass(frozen=True)
class Tuned:
    """The least risk over a filter's parameter, and where it is attained (0 and inf are allowed)."""

    parameter: float
    risk: float


@dataclass(frozen=True, eq=False)
class Regression:
    """A least-squares problem in its eigenbasis.

    eigenvalues (d,) >= 0 of S; coefficients (d,) q_i'beta, of which Bayes risk only needs the root mean squares;
    noise = sigma^2/n (variance per sample size).
    """

    eigenvalues: Array
    coefficients: Array
    noise: float

    def __init__(self, eigenvalues: ArrayLike, coefficients: ArrayLike, noise: float) -> None:
        s = np.atleast_1d(np.asarray(eigenvalues, float))
        c = np.broadcast_to(np.asarray(coefficients, float), s.shape)
        if s.ndim != 1 or not (np.isfinite(s).all() and (s >= 0).all()):
            raise UserError(
                f"eigenvalues have shape {s.shape} and least value {s.min(initial=0)}; give (d,), finite, >= 0"
            )
        if not np.isfinite(c).all():
            raise UserError("coefficients have a value that is not finite; give finite numbers")
        if not (np.isfinite(noise) and noise >= 0):
            raise UserError(f"noise is {noise}; give a finite variance >= 0")
        object.__setattr__(self, "eigenvalues", s)
        object.__setattr__(self, "coefficients", c)
        object.__setattr__(self, "noise", float(noise))

    @classmethod
    def from_design(cls, design: ArrayLike, beta: ArrayLike, variance: float) -> tuple[Regression, Array]:
        """The problem of a design X (n, p), a signal beta (p,) and a noise variance, and the eigenvectors (p, p)."""
        x = np.asarray(design, float)
        if x.ndim != 2 or len(x) == 0:
            raise UserError(f"design has shape {x.shape}; give (n, p) with n >= 1")
        values, vectors = decompose(x.T @ x / len(x), "design'design")
        return cls(values, np.asarray(beta, float) @ vectors, variance / len(x)), vectors

    @property
    def signal(self) -> Array:
        """b_i, shape (d,)."""
        return self.coefficients**2

    @property
    def snr(self) -> Array:
        """b_i/v_i = b_i s_i / noise, shape (d,)."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.signal * self.eigenvalues == 0, 0.0, self.signal * self.eigenvalues / self.noise)

    def _weights(self, kind: Kind) -> Array:
        if kind not in ("estimation", "prediction"):
            raise UserError(f"kind is {kind!r}; give 'estimation' or 'prediction'")
        return self.eigenvalues if kind == "prediction" else np.ones_like(self.eigenvalues)

    def _variance(self, gain: Array, weights: Array) -> Array:
        """Terms of the variance, shape (p..., d): (sigma^2/n) w g^2/s, 0 where s is 0."""
        s = self.eigenvalues
        return np.where(s > 0, self.noise * weights / np.where(s > 0, s, 1.0), 0.0) * gain**2

    def terms(self, rule: Filter, parameter: ArrayLike, kind: Kind = "estimation") -> tuple[Array, Array]:
        """Squared bias and variance per direction, each of shape (*parameter.shape, d)."""
        w = self._weights(kind)
        bias = w * self.signal * rule.residual(self.eigenvalues, parameter) ** 2
        return bias, self._variance(rule.gain(self.eigenvalues, parameter), w)

    def risk(self, rule: Filter, parameter: ArrayLike, kind: Kind = "estimation") -> Array:
        """Estimation or in-sample prediction risk, shape (*parameter.shape,)."""
        bias, variance = self.terms(rule, parameter, kind)
        return (bias + variance).sum(-1)

    def out_of_sample_risk(self, rule: Filter, parameter: ArrayLike, covariance: ArrayLike) -> Array:
        """E (x'(estimate - beta))^2 for x of covariance Sigma, given in the eigenbasis (d, d), shape
        (*parameter.shape,).

        Sigma need not commute with S, so the signs of the coefficients matter (T3.3).
        """
        sigma = self._covariance(covariance)
        bias = rule.residual(self.eigenvalues, parameter) * self.coefficients
        variance = self._variance(rule.gain(self.eigenvalues, parameter), np.diag(sigma))
        return np.einsum("...i,ij,...j->...", bias, sigma, bias) + variance.sum(-1)

    def bayes_out_of_sample_risk(self, rule: Filter, parameter: ArrayLike, covariance: ArrayLike) -> Array:
        """The same averaged over uncorrelated q_i'beta of mean 0 and variance b_i: only Sigma_ii count (T3.2)."""
        weights = np.diag(self._covariance(covariance))
        bias = weights * self.signal * rule.residual(self.eigenvalues, parameter) ** 2
        return (bias + self._variance(rule.gain(self.eigenvalues, parameter), weights)).sum(-1)

    def _covariance(self, covariance: ArrayLike) -> Array:
        sigma = np.asarray(covariance, float)
        if sigma.shape != (len(self.eigenvalues),) * 2:
            raise UserError(f"covariance has shape {sigma.shape}; give {(len(self.eigenvalues),) * 2}")
        decompose(sigma, "covariance")
        return sigma

    def oracle(self, kind: Kind = "estimation") -> float:
        """The least risk of any filter, sum_i b_i v_i/(b_i+v_i): Wiener's g_i = SNR_i/(1+SNR_i) (T5.1)."""
        snr = self.snr
        with np.errstate(invalid="ignore"):
            left = np.where(np.isinf(snr), 0.0, self.signal / (1 + snr))
        return float((self._weights(kind) * left).sum())

    def tuned(self, rule: Filter, kind: Kind = "estimation", points: int = 2000) -> Tuned:
        """The least risk over the filter's parameter: a grid over all scales, then Brent's method at every local
        minimum.

        The ends of the range, doing nothing and going all the way, are compared too. Steps are searched among
        integers up to 10^6.
        """
        positive = self.eigenvalues[self.eigenvalues > 0]
        if not len(positive):
            return Tuned(0.0, float(self.risk(rule, 0.0, kind)))
        if rule.parameter == "steps":
            return self._tuned_steps(rule, kind, points)
        # beyond these ends the risk differs from that at 0 or infinity by less than 1e-11 of itself
        low, high = 1e-12 * positive.min(), 1e12 * positive.max()
        if rule.parameter == "time":
            low, high = 1e-12 / positive.max(), 1e3 / positive.min()
            if rule.name == "Nesterov":  # its time counts squared
                low, high = low**0.5, 1e4 / positive.min() ** 0.5
            elif rule.name == "heavy ball":  # squared early, linear late
                low, high = min(low, low**0.5), high * max(1.0, 2 * rule.setting, 1 / rule.setting)
        grid = np.geomspace(low, high, points)
        risks = self._along(rule, grid, kind)
        ends = [p for p in (0.0, np.inf) if np.isfinite(self.risk(rule, p, kind))]
        best = min((Tuned(float(p), float(self.risk(rule, p, kind))) for p in ends), key=lambda t: t.risk)
        middle = np.flatnonzero((risks[1:-1] < risks[:-2]) & (risks[1:-1] <= risks[2:])) + 1
        for i in middle[np.argsort(risks[middle])[:8]]:  # a flat end can have hundreds, by rounding
            found = scipy.optimize.minimize_scalar(
                lambda x: float(self.risk(rule, np.exp(x), kind)),
                bounds=(np.log(grid[i - 1]), np.log(grid[i + 1])),
                method="bounded",
                options={"xatol": 1e-12},
            )
            if found.fun < best.risk:
                best = Tuned(float(np.exp(found.x)), float(found.fun))
        return best

    def _along(self, rule: Filter, grid: Array, kind: Kind) -> Array:
        """Risk at every parameter of a list, in pieces so that memory stays bounded."""
        pieces = -(-len(grid) * len(self.eigenvalues) // 2_000_000)
        return np.concatenate([self.risk(rule, part, kind) for part in np.array_split(grid, max(pieces, 1))])

    def _tuned_steps(self, rule: Filter, kind: Kind, points: int) -> Tuned:
        grid = np.unique(np.round(np.geomspace(1, 1e6, points))).astype(int)
        grid = np.concatenate([[0], grid])
        risks = self._along(rule, grid, kind)
        i = int(risks.argmin())
        while True:  # the coarse minimum's neighbours, every integer between them once they are near
            low, high = int(grid[max(i - 1, 0)]), int(grid[min(i + 1, len(grid) - 1)])
            grid = np.unique(np.linspace(low, high, min(points, high - low + 1)).round().astype(int))
            risks = self._along(rule, grid, kind)
            i = int(risks.argmin())
            if len(grid) == high - low + 1:
                return Tuned(float(grid[i]), float(risks[i]))


def risk_surface(times: ArrayLike, penalties: ArrayLike, problem: Regression, kind: Kind = "estimation") -> Array:
    """Risk of gradient flow on the ridge objective, stopped: shape (times, penalties), times and penalties >= 0,
    finite.

    At time t and penalty a the residual is (a + s e^{-(s+a)t})/(s+a); a = 0 is plain early stopping, t large plain
    ridge (T2.4). Because e^{-(s+a)t} = e^{-st} e^{-at}, the surface is four products of a (times, d) and a (d,
    penalties) matrix. Every term is positive, so nothing cancels.
    """
    t, a = np.asarray(times, float), np.asarray(penalties, float)
    if (
        t.ndim != 1
        or a.ndim != 1
        or not (np.isfinite(t).all() and np.isfinite(a).all() and (t >= 0).all() and (a >= 0).all())
    ):
        raise UserError(
            f"times {t.shape} and penalties {a.shape} must be lists of finite values >= 0; leave the others out"
        )
    s, weights = problem.eigenvalues, problem._weights(kind)
    with np.errstate(invalid="ignore"):
        kept = np.where(s > 0, a[:, None] / (s + a[:, None]), 1.0)  # ridge's residual, (penalties, d)
    gone = np.where(s > 0, s / np.where(s > 0, s + a[:, None], 1.0), 0.0)
    bias = weights * problem.signal
    spread = np.where(s > 0, problem.noise * weights / np.where(s > 0, s, 1.0), 0.0)
    shrink = np.exp(-np.outer(t, a))  # e^{-at}, (times, penalties)
    rest = -np.expm1(-np.outer(t, a))
    left, way = np.exp(-np.outer(t, s)), -np.expm1(-np.outer(t, s))  # (times, d)
    # bias: (kept + gone e^{-at} left)^2; variance: (gone (e^{-at} way + 1 - e^{-at}))^2
    surface = (kept**2 @ bias)[None, :] + rest**2 * (gone**2 @ spread)[None, :]
    surface += 2 * shrink * (left @ (kept * gone * bias).T + rest * (way @ (gone**2 * spread).T))
    surface += shrink**2 * (left**2 @ (gone**2 * bias).T + way**2 @ (gone**2 * spread).T)
    return surface
