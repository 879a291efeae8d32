"""Gradient flow on exact instances, enclosed in balls: piecewise-constant penalties by matrix exponentials, smooth
ramps of one weight by variation of constants with rigorous quadrature.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flint import acb, arb, arb_mat, fmpq, fmpq_mat

from unilth.theory.exact import diagonal


def pressed_curvature(hessian: fmpq_mat, kept: Sequence[int], penalty: fmpq) -> fmpq_mat:
    """H + lambda P, exact."""
    return hessian + diagonal([0 if i in kept else penalty for i in range(hessian.nrows())])


def transition(hessian: fmpq_mat, kept: Sequence[int], pieces: Sequence[tuple[fmpq, fmpq]]) -> arb_mat:
    """Phi: what the difference of two runs under one staircase of (penalty, duration) is multiplied by."""
    n = hessian.nrows()
    phi = arb_mat(n, n, [arb(int(i == j)) for i in range(n) for j in range(n)])
    for penalty, duration in pieces:
        phi = arb_mat(pressed_curvature(hessian, kept, penalty) * -duration).exp() * phi
    return phi


def end_point(
    hessian: fmpq_mat, minimiser: fmpq_mat, kept: Sequence[int], start: fmpq_mat, pieces: Sequence[tuple[fmpq, fmpq]]
) -> arb_mat:
    """Weights at the end of the staircase, by one augmented exponential per piece, so that H may be singular."""
    n = hessian.nrows()
    pull = hessian * minimiser
    state = arb_mat(n + 1, 1, [*[arb(x) for x in start.entries()], arb(1)])
    for penalty, duration in pieces:
        m = pressed_curvature(hessian, kept, penalty)
        rows = [[*[-m[i, j] * duration for j in range(n)], pull[i, 0] * duration] for i in range(n)]
        generator = fmpq_mat(n + 1, n + 1, [x for row in rows for x in row] + [fmpq(0)] * (n + 1))
        state = arb_mat(generator).exp() * state
    return arb_mat(n, 1, [state[i, 0] for i in range(n)])


def squared_norm(vector: arb_mat) -> arb:
    return sum((x * x for x in vector.entries()), arb(0))


def ramped(h: fmpq, target: fmpq, start: fmpq, pressure: Callable[[acb], acb], time: fmpq) -> arb:
    """w(T) of dw/dt = -h (w - target) - lambda(t) w; `pressure` is the entire function int_0^t lambda."""
    if time == 0:
        return arb(start)
    total = acb.integral(lambda t, _: (acb(h) * t + pressure(t)).exp(), acb(0), acb(time)).real
    end = (acb(h) * acb(time) + pressure(acb(time))).real
    return (arb(start) + arb(h) * arb(target) * total) * (-end).exp()
