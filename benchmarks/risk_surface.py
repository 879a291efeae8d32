"""The risk surface of stopping time and penalty, side by side with loops and scikit-learn, in one run.

    python benchmarks/risk_surface.py [--times 1000] [--penalties 1000] [--eigenvalues 2000] [--sample 3] [--repeats 3]

Ours: the exact risk of gradient flow on the ridge objective at every stopping time and every penalty, from
`risk_surface`. Beside it, on the same least-squares problem (one row of data per eigenvalue, so that X'X/n has that
spectrum):

- the loop: gradient descent on the penalised objective, one run per penalty through all stopping times, the bias and
the
  variance of its estimate measured at every one of them;
- scikit-learn: one Ridge fit per penalty, which gives the last row of the surface (time to infinity) only.

The other two are timed for `--sample` of the penalties, and the loop for a share of its steps; both are multiplied up
and marked "extrapolated". Before any time is printed, the three are compared where they meet.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
import tracemalloc
from collections.abc import Callable

import numpy as np
from sklearn.linear_model import Ridge

from unilth.theory.models.regression import Regression, risk_surface

NOISE = 0.1
FIRST = 0.05  # the first stopping time, in units of 1/(largest eigenvalue); also the loop's step size


def timed(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def loop(problem: Regression, step: float, penalty: float, steps: int, times: int) -> np.ndarray:
    """Risk of `steps` descent steps on the penalised objective, looked at `times` times on the way, shape (times,).

    The problem is diagonal, so a step is one multiplication per weight: no loop in weight space is faster than this.
    """
    s, root = problem.eigenvalues, np.sqrt(problem.noise / problem.eigenvalues)
    signal = np.zeros_like(
        s
    )  # what is learnt of the coefficients, and of a unit of noise in the least-squares estimate
    noise = np.zeros_like(s)
    every, risks = max(1, steps // times), []
    for k in range(1, steps + 1):
        signal -= step * (s * (signal - problem.coefficients) + penalty * signal)
        noise -= step * (s * (noise - root) + penalty * noise)
        if k % every == 0:
            risks.append(float(((signal - problem.coefficients) ** 2).sum() + (noise**2).sum()))
    return np.array(risks)


def dense_steps(problem: Regression, step: float, penalty: float, steps: int) -> None:
    """Descent on the signal with H as a full matrix, as it is when the eigenbasis is not known."""
    hessian, w = np.diag(problem.eigenvalues), np.zeros_like(problem.eigenvalues)
    for _ in range(steps):
        w -= step * (hessian @ (w - problem.coefficients) + penalty * w)


def ridge_fit(problem: Regression, penalty: float) -> np.ndarray:
    """scikit-learn's estimate from noise-free outputs, shape (d,): its bias is ridge's."""
    n = len(problem.eigenvalues)
    design = np.diag(np.sqrt(n * problem.eigenvalues))
    outputs = design @ problem.coefficients
    return Ridge(alpha=n * penalty, fit_intercept=False).fit(design, outputs).coef_


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=1000)
    parser.add_argument("--penalties", type=int, default=1000)
    parser.add_argument("--eigenvalues", type=int, default=2000)
    parser.add_argument("--sample", type=int, default=3, help="penalties that the other two are timed on")
    parser.add_argument("--share", type=float, default=0.05, help="share of the loop's steps that is timed")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()

    generator = np.random.default_rng(0)
    s = np.geomspace(1e-2, 1.0, args.eigenvalues)
    problem = Regression(s, generator.normal(size=args.eigenvalues), NOISE)
    times = FIRST * np.arange(1, args.times + 1)
    penalties = np.geomspace(1e-3, 10, args.penalties)
    chosen = penalties[np.linspace(0, args.penalties - 1, args.sample).astype(int)]

    # they agree where they meet: the loop with a tenth of the step follows the flow, Ridge is the end of the surface
    surface = risk_surface(times, chosen, problem)
    for j, a in enumerate(chosen):
        fine = loop(problem, FIRST / 20, float(a), 20 * 20, 20)
        assert np.allclose(fine, surface[:20, j], rtol=0.02), "the loop and the surface differ"
        bias = ((ridge_fit(problem, float(a)) - problem.coefficients) ** 2).sum()
        assert np.isclose(bias, (problem.signal * (a / (s + a)) ** 2).sum(), rtol=1e-8), "Ridge and the formula differ"

    ours = statistics.median(timed(lambda: risk_surface(times, penalties, problem)) for _ in range(args.repeats))
    tracemalloc.start()
    risk_surface(times, penalties, problem)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    steps = max(1, int(args.share * args.times))
    per_step = (
        statistics.median(timed(lambda a=a: loop(problem, FIRST, float(a), steps, steps)) for a in chosen) / steps
    )
    descent = per_step * args.times * args.penalties
    dense = timed(lambda: dense_steps(problem, FIRST, float(chosen[0]), steps)) / steps * args.times * args.penalties
    fit = statistics.median(timed(lambda a=a: ridge_fit(problem, float(a))) for a in chosen)
    fits = fit * args.penalties

    size = f"{args.times} times x {args.penalties} penalties x {args.eigenvalues} eigenvalues"
    print(f"{size}; {platform.machine()}, Python {platform.python_version()}, NumPy {np.__version__}")
    print(f"risk_surface          {ours:10.2f} s   peak memory {peak / 2**20:.0f} MiB, median of {args.repeats}")
    for name, seconds, note in (
        ("descent, eigenbasis", descent, f"{args.sample} penalties x {steps} steps, one per stopping time"),
        ("descent, full matrix", dense, f"{steps} steps, of the signal only"),
        ("scikit-learn Ridge", fits, f"{args.sample} fits; the last row of the surface only, and its bias only"),
    ):
        print(f"{name:21} {seconds:10.2f} s   {seconds / ours:6.0f} times as long; extrapolated from {note}")


if __name__ == "__main__":
    main()
